"""Any residual network in the project's vocabulary."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Collection, Mapping
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.parameter import is_lazy

from unskip.errors import UnskipError, first_line
from unskip.nets.additions import with_plain_sums
from unskip.nets.cutting import Cutter
from unskip.nets.functional import shape_of
from unskip.nets.joining import trunk_of, with_shapes_apart
from unskip.nets.logits import check_logits
from unskip.nets.modes import trace_in_both_modes
from unskip.nets.parts import parts_of, parts_with_join
from unskip.nets.piece import function_name
from unskip.nets.sameness import check_same
from unskip.nets.sizes import with_sizes_read_nearby
from unskip.nets.staged_net import StagedNet


def parse(model: nn.Module, example_input: Tensor) -> StagedNet:
    """A copy of a network as a `StagedNet`, with the same outputs bit by bit in eval mode and in train mode.

    example_input: images (batch, channels, height, width) of a size that the network takes. The outermost additions
    become `Residual` blocks: the shortcut is the operand without an activation function, or else the one that has at
    most one convolution where the other has more. Branches that are no such block stay as they are
    (:func:`kept_branches`), and so do additions inside a block.

    Where parts end, docs/explanation/any-network.md says; those of a network that answers with other tensors than
    logits end where a map lies that the answers need, too, and its head is a `Joining` where it needs more than the
    last map.
    ``original_names`` of the result gives each of its tensors the name that it had in ``model``. No layer works in
    place any more, so that no map is overwritten that somebody looks at.

    A module of the network that cannot be opened stays whole, and what shortcuts it has is unknown
    (:func:`unskip.nets.unopened_modules`).

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
    net = StagedNet(_parts(traced, stored, tuple(example_input.shape)))
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
            net.set_submodule(place, nn.Sequential(layers))
    return net


def _batchnorm(module: nn.BatchNorm2d) -> nn.Module:
    plain = copy.copy(module)
    plain.__class__ = nn.BatchNorm2d
    plain._modules = {}
    return plain


def _parts(traced: fx.GraphModule, stored: Collection[int], image: tuple[int, ...]) -> Mapping[str, nn.Module]:
    """Stem, stages and head."""
    (output,) = (node for node in traced.graph.nodes if node.op == "output")
    answers = output.args[0]
    _check_answers(answers)
    if len(shape_of(answers) or ()) == 2:
        check_logits(traced)
        return parts_of(Cutter(traced, stored).pieces(answers), image)
    cutter = Cutter(with_shapes_apart(traced), stored)
    trunk = trunk_of(cutter, answers)
    return parts_with_join(cutter.pieces(trunk.end, trunk.maps), image, trunk)


def _check_answers(answers: Any, place: str = "") -> None:
    """Raise `UnskipError` unless a network answers with a tensor, or with tensors in dicts, lists and tuples."""
    if isinstance(answers, Mapping | list | tuple) and answers:
        pairs = answers.items() if isinstance(answers, Mapping) else enumerate(answers)
        for key, inner in pairs:
            _check_answers(inner, f"{place}.{key}".removeprefix("."))
    elif shape_of(answers) is None:
        what = f"what {function_name(answers)} gives" if isinstance(answers, fx.Node) else repr(answers)
        where = f", under {place}" if place else ""
        raise UnskipError(
            f"the network must return a tensor, or tensors in dicts, lists and tuples; it returns {what}{where}, which "
            "is no tensor: let its forward leave that out"
        )
