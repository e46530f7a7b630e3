"""Any residual network in the project's vocabulary."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence, Sized
from itertools import pairwise, takewhile
from math import prod

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy

from unskip.errors import UnskipError, first_line
from unskip.nets.additions import with_plain_sums
from unskip.nets.cutting import chain_of
from unskip.nets.functional import shape_of
from unskip.nets.logits import check_logits
from unskip.nets.modes import trace_in_both_modes
from unskip.nets.piece import Piece, function_name, named
from unskip.nets.sameness import check_same
from unskip.nets.sizes import with_sizes_read_nearby
from unskip.nets.staged import Residual, StagedNet
from unskip.nets.unopened import unopened_modules

__all__ = ["check_weights", "kept_branches", "num_kept_additions", "original_place", "parse"]


def parse(model: nn.Module, example_input: Tensor) -> StagedNet:
    """A copy of a network as a `StagedNet`, with the same outputs bit by bit in eval mode and in train mode.

    example_input: images (batch, channels, height, width) of a size that the network takes. The outermost additions
    become `Residual` blocks: the shortcut is the operand without an activation function, or else the one that has at
    most one convolution where the other has more. Branches that are no such block stay as they are
    (:func:`kept_branches`), and so do additions inside a block.

    The stem is the first convolution and what follows up to a block, a pool or a convolution of another kind; a stage
    begins where the resolution falls, at the beginning of the module that lets it fall, unless it would have no
    weights; the head is what comes after the last map. ``original_names`` of the result gives each of its tensors the
    name that it had in ``model``. No layer works in place any more, so that no map is overwritten that somebody looks
    at.

    A module of the network that cannot be opened stays whole, and what shortcuts it has is unknown
    (:func:`unskip.unopened_modules`).

    Raises `UnskipError`, with the place and the reason, for a network that torch.fx cannot trace, whose layers share
    weights, that has no stages, or that would not be the same, and for one that does not run.
    """
    if example_input.dim() != 4:
        shape = " x ".join(map(str, example_input.shape))
        raise UnskipError(f"example_input must be images (batch, channels, height, width), not {shape or 'a number'}")
    check_weights(model)
    copied = _copy(model)
    tensors = [*copied.named_parameters(), *copied.named_buffers()]
    names = {id(tensor): name for name, tensor in tensors}
    stored = {id(tensor): name for name, tensor in copied.state_dict(keep_vars=True).items()}
    modes = {id(module): module.training for module in copied.modules()}
    traced = trace_in_both_modes(_with_activations_apart(copied), example_input)
    traced = with_sizes_read_nearby(with_plain_sums(traced), example_input)
    _check_output(traced)
    check_logits(traced)
    net = StagedNet(_parts(chain_of(traced, stored), tuple(example_input.shape)))
    for module in net.modules():
        module.training = modes.get(id(module), model.training)
    own = [*net.named_parameters(), *net.named_buffers()]
    net.original_names = {name: names[id(tensor)] for name, tensor in own if id(tensor) in names}
    used = {id(tensor) for _, tensor in own}
    net.unused_names = tuple(name for place, name in stored.items() if place not in used)
    check_same(model, net, example_input)
    return net


def check_weights(model: nn.Module) -> None:
    """Raise `UnskipError` for weights that cannot be compared bit by bit, or that are not there yet."""
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if is_lazy(tensor):
            raise UnskipError(
                f"{name} is of a lazy layer that has not seen its input yet; run the network once on images of the "
                "size that it is for, then parse it"
            )
        if tensor.is_complex() or (tensor.is_floating_point() and tensor.dtype not in (torch.float32, torch.float64)):
            raise UnskipError(
                f"{name} is {str(tensor.dtype).removeprefix('torch.')}, and weights must be float32 or float64: call "
                ".float() on the network (training.precision chooses the precision of a training)"
            )


def _copy(model: nn.Module) -> nn.Module:
    for place, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise UnskipError(f"{place or 'the network'} is TorchScript, which cannot be taken apart")
    try:
        return copy.deepcopy(model)
    except Exception as error:  # whatever a module of others raises
        raise UnskipError(f"the network cannot be copied: {first_line(error)}") from error


def kept_branches(net: nn.Module) -> dict[str, str]:
    """The pieces of a parsed network that hold branches and stayed as they are, by place, and why."""
    return {
        place: str(module.meta["branches"])
        for place, module in net.named_modules()
        if isinstance(module, fx.GraphModule) and "branches" in module.meta
    }


def num_kept_additions(net: nn.Module) -> int:
    """How many additions of two maps are in the branches that stayed as they are: shortcuts that nothing removes."""
    graphs = (module for module in net.modules() if isinstance(module, fx.GraphModule))
    return sum(graph.meta.get("additions", 0) for graph in graphs)


def original_place(net: StagedNet, place: str) -> str:
    """The innermost module of the original network in which all weights of a piece lay; "" for the network itself."""
    lay = [original.split(".")[:-1] for name, original in net.original_names.items() if name.startswith(f"{place}.")]
    common = takewhile(lambda level: len(set(level)) == 1, zip(*lay, strict=False))
    return ".".join(level[0] for level in common)


def _with_activations_apart(net: nn.Module) -> nn.Module:
    """The network with every timm layer that is BatchNorm and activation in one as the two, tensors shared."""
    for place, module in list(net.named_modules()):
        if isinstance(module, nn.BatchNorm2d) and isinstance(getattr(module, "act", None), nn.Module):
            layers = OrderedDict(bn=_batchnorm(module))
            for name in ("drop", "act"):
                layer = getattr(module, name, None)
                if isinstance(layer, nn.Module):
                    layers[name] = layer
            parent, _, child = place.rpartition(".")
            setattr(net.get_submodule(parent), child, nn.Sequential(layers))
    return net


def _batchnorm(module: nn.BatchNorm2d) -> nn.Module:
    plain = copy.copy(module)
    plain.__class__ = nn.BatchNorm2d
    plain._modules = {}
    return plain


def _check_output(traced: fx.GraphModule) -> None:
    (output,) = (node for node in traced.graph.nodes if node.op == "output")
    given, shape = output.args[0], shape_of(output.args[0])
    if shape is None or len(shape) != 2:
        what = (
            f"a tensor of {len(shape)} dimensions"
            if shape is not None
            else f"a {type(given).__name__.removeprefix('immutable_')}"
        )
        if isinstance(given, fx.Node) and shape is None:
            what = f"what {function_name(given)} gives, which is no tensor"
        elif isinstance(given, Sized) and not isinstance(given, fx.Node):
            what += f" of {len(given)}"
        raise UnskipError(
            f"the network must return logits, one tensor (batch, classes); it returns {what}: let its forward return "
            "the logits alone"
        )


# Where the parts end


def _parts(pieces: Sequence[Piece], image: tuple[int, ...]) -> OrderedDict[str, nn.Module]:
    """Stem, stages and head of a chain."""
    head = max((place + 1 for place, piece in enumerate(pieces) if _side(piece.shape) > 1), default=0)
    drops = _drops(pieces[:head], image)
    starts = sorted({_module_start(pieces, drop, drops) for drop in drops} - {0})
    stem = min([head, *starts[:1], *(place for place, piece in enumerate(pieces) if place and _ends_stem(piece))])
    starts = [stem, *(start for start in starts if start > stem), head]
    starts = [start for start, end in pairwise(starts) if any(map(_has_weights, pieces[start:end]))]
    if not starts:
        raise UnskipError(f"the network has no stages: {_why_no_stages(pieces)}")
    parts: OrderedDict[str, nn.Module] = OrderedDict(stem=nn.Sequential(named(pieces[: starts[0]])))
    for number, (start, end) in enumerate(pairwise([*starts, head]), 1):
        parts[f"stage{number}"] = nn.Sequential(named(pieces[start:end]))
    parts["head"] = nn.Sequential(named(pieces[head:]))
    return parts


def _why_no_stages(pieces: Sequence[Piece]) -> str:
    unopened = {place: why for piece in pieces for place, why in unopened_modules(piece.module).items()}
    if unopened:
        place, why = next(iter(unopened.items()))
        return f"{place} could not be opened, since {why}"
    largest = max(pieces, key=lambda piece: sum(weight.numel() for weight in piece.module.parameters()), default=None)
    if largest and isinstance(largest.module, fx.GraphModule) and any(map(_is_conv, largest.module.modules())):
        where = largest.place or "its own forward"
        return (
            f"{where} holds branches from one end to the other, with no map between on which all that follows depends"
        )
    return "between its first convolution and its last map lies no layer"


def _is_conv(module: nn.Module) -> bool:
    return isinstance(module, _ConvNd)


def _has_weights(piece: Piece) -> bool:
    return any(True for _ in piece.module.parameters())


def _side(shape: tuple[int, ...]) -> int:
    """Pixels of a map; 1 for what is no map."""
    return prod(shape[2:]) if len(shape) == 4 else 1


def _drops(pieces: Sequence[Piece], image: tuple[int, ...]) -> list[int]:
    """The pieces behind which the resolution is lower than in front of them."""
    before = [image, *(piece.shape for piece in pieces)]
    return [place for place, piece in enumerate(pieces) if _side(piece.shape) < _side(before[place])]


def _module_start(pieces: Sequence[Piece], drop: int, drops: Sequence[int]) -> int:
    """The first piece of the largest module in which the resolution falls here only, and in which nothing begins."""
    names = pieces[drop].place.split(".")
    for depth in range(1, len(names)):
        module = ".".join(names[:depth])
        inside = [place for place, piece in enumerate(pieces) if f"{piece.place}.".startswith(f"{module}.")]
        if inside[0] > 0 and sum(place in inside for place in drops) == 1:
            return inside[0]
    return drop


def _ends_stem(piece: Piece) -> bool:
    """Whether a piece is none of a stem: a block, a pool, a 1x1 or grouped convolution, branches with convolutions."""
    if isinstance(piece.module, _ConvNd):
        return piece.module.groups > 1 or max(piece.module.kernel_size) == 1
    return piece.kind == "pool" or any(isinstance(module, Residual | _ConvNd) for module in piece.module.modules())
