"""The networks that a state dict may belong to, the likeliest first: few of many are made, on the meta device."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import torch
from torch import nn

from unskip.errors import UnskipError
from unskip.nets import find_net
from unskip.nets.foreign import find_foreign
from unskip.nets.zoo import NETS
from unskip.recognition.signature import COUNTERS, Match, Signature, Tensors
from unskip.settings import arguments_of

_MOST_OF_TIMM = 120  # networks of timm that are made for a file; each takes up to a tenth of a second
_NEAREST = 3  # networks of torchvision, by their number of parameters, where none has that of the file
_MOST_BLOCKS = 300  # of a network whose blocks are of one's choice
_OWN_BLOCK = re.compile(r"stage\d+\.block\d+\.")
_NO_PARAMETERS = ("running_mean", "running_var", COUNTERS)
_HEAD = re.compile(r"(head|heads|fc|classifier|linear|last_linear|logits|output)\b")
_CLASSES, _CHANNELS = 1000, 3  # of torchvision's networks by default
_WIDTH_MULTS = (0.25, 0.35, 0.5, 0.75, 1.25, 1.3, 1.4, 1.5, 2.0)


def has_own_names(tensors: Tensors) -> bool:
    """Whether a file has the names of this package's blocks."""
    return any(map(_OWN_BLOCK.match, tensors))


def own_candidates(tensors: Tensors) -> Iterator[Match]:
    """Networks of this package that have the file's names, in torchvision's form or in ours, in their listed order."""
    listed = [_own_signature(source) for source in [*NETS, *_family_members(tensors)]]
    matches = [signature.compared(tensors) for signature in listed]
    most = max((match.shared_names for match in matches), default=0)
    for match in matches:
        if 0 < most == match.shared_names:
            yield _resized(match, tensors)
    if most:
        yield from _of_any_blocks(tensors)


def torchvision_candidates(tensors: Tensors) -> Iterator[Match]:
    """Networks of torchvision that have as many parameters as the file, or else nearly as many; all that segment."""
    from unskip.torchvision_compat import torchvision

    models = torchvision.models
    sizes: dict[str, int] = {}
    for name in models.list_models(models):
        weights = models.get_model_weights(name)
        if len(weights):
            sizes[name] = weights.DEFAULT.meta["num_params"]
    wanted = _num_parameters(tensors)
    near = sorted(sizes, key=lambda name: abs(math.log(sizes[name] / max(wanted, 1))))
    names = [name for name in near if sizes[name] == wanted] or near[:_NEAREST]
    if any(name.startswith("backbone.") for name in tensors):
        names += models.list_models(models.segmentation)
    for name in names:
        yield _foreign_signature(f"torchvision:{name}").compared(tensors)


def timm_candidates(tensors: Tensors, twins_of: str | None = None) -> Iterator[Match]:
    """Networks of timm, where it is installed, whose first and last layers have names that the file has.

    Transformers, which begin with patches, are left out: they are many, and none can be parsed.
    Those come first whose name says a depth near the file's number of layers, and short names before long ones.
    ``twins_of``: only those with the numbers in the name that this one has, which may differ in a padding alone.
    """
    from unskip.torchvision_compat import torchvision

    assert torchvision  # timm can import it once it has been made importable
    try:
        import timm
    except ImportError:
        return
    layers = sum(tensor.dim() > 1 and "downsample" not in name for name, tensor in tensors.items())

    def known(names: Any) -> bool:
        listed = [names] if isinstance(names, str) else names or ()
        return bool(listed) and all(f"{name}.weight" in tensors for name in listed)

    def unlikeliness(name: str) -> tuple[bool, int]:
        return not any(abs(int(number) - layers) <= 3 + layers / 8 for number in _numbers_in(name)), len(name)

    configured = ((name, timm.get_pretrained_cfg(name)) for name in timm.list_models())
    likely = [
        name
        for name, config in configured
        if config
        and known(config.first_conv)
        and known(config.classifier)
        and not str(config.first_conv).startswith("patch_embed")
    ]
    if twins_of is not None:
        likely = [name for name in likely if _numbers_in(name) == _numbers_in(twins_of)]
    for name in sorted(likely, key=unlikeliness)[:_MOST_OF_TIMM]:
        try:
            yield _foreign_signature(f"timm:{name}").compared(tensors)
        except Exception:  # a network that cannot be made without memory, or whose own parts are not installed
            continue


def _numbers_in(name: str) -> list[str]:
    return re.findall(r"\d+", name)


def named_candidate(source: str, tensors: Tensors) -> Match | None:
    """The network that a checkpoint says it holds, where there is one of that name."""
    if not re.fullmatch(r"[\w-]{1,80}(\.\w+)?", source):  # never a module of one's own, nor another place
        return None
    for place in (source, f"torchvision:{source}", f"timm:{source}"):
        try:
            match = (_own_signature if place in NETS else _foreign_signature)(place).compared(tensors)
        except Exception:  # whatever a word in a file leads to, it is a hint
            continue
        if match.is_exact:
            return match
    return None


@cache
def _own_signature(source: str, **options: Any) -> Signature:
    entry = find_net(source)
    with torch.device("meta"):
        return Signature.of(entry.factory(**options), source, options, entry.from_torchvision)


@cache
def _foreign_signature(source: str) -> Signature:
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Signature.of(find_foreign(source).unparsed(), source, {})


def _family_members(tensors: Tensors) -> Iterator[str]:
    """CIFAR ResNets and WRNs of any depth, by the blocks of a file of three equal stages."""
    blocks = _blocks(tensors)
    if len(blocks) != 3 or len(set(blocks)) != 1:
        return
    names = [f"resnet{6 * blocks[0] + 2}"]
    widths = [tensors[name].shape[0] for name in ("stem.conv.weight", "head.bn.weight") if name in tensors]
    if len(widths) == 2 and not widths[1] % (4 * widths[0]):
        names = [f"wrn-{6 * blocks[0] + 4}x{widths[1] // (4 * widths[0])}"]
    for name in names:
        try:
            find_net(name)
        except UnskipError:
            continue
        if name not in NETS:
            yield name


def _blocks(tensors: Tensors) -> list[int]:
    """The number of blocks in each stage, by our names for them or by torchvision's."""
    counts: dict[int, set[int]] = {}
    for name in tensors:
        found = re.match(r"(?:stage(\d+)\.block|layer(\d+)\.)(\d+)\.", name)
        if found:
            counts.setdefault(int(found[1] or found[2]), set()).add(int(found[3]))
    return [len(counts[stage]) for stage in sorted(counts)]


def _of_any_blocks(tensors: Tensors) -> Iterator[Match]:
    """The networks whose blocks are of one's choice, with those of the file."""
    blocks = _blocks(tensors)
    if not 1 <= len(blocks) <= 16 or sum(blocks) > _MOST_BLOCKS:
        return
    for source in NETS:
        if "blocks" in arguments_of(NETS[source].factory).model_fields:
            with torch.device("meta"):
                net = NETS[source].factory(blocks=blocks)
            made = Signature.of(net, source, {"blocks": blocks}, NETS[source].from_torchvision)
            yield _resized(made.compared(tensors), tensors)


def _resized(match: Match, tensors: Tensors) -> Match:
    """The network with the width of the file, where that is another."""
    own = match.signature
    fields = arguments_of(find_net(own.source).factory).model_fields
    if match.is_exact or own.first is None or len(match.shapes.get(own.first, ())) != 4:
        return match
    default, channels = own.shapes[own.first][0], match.shapes[own.first][0]
    options: list[Mapping[str, Any]] = []
    if "width" in fields and channels != default:
        width = fields["width"].default * channels / default
        options = [{"width": int(width)}] if width == int(width) and width > 0 else []
    elif "width_mult" in fields:
        options = [{"width_mult": factor} for factor in dict.fromkeys((channels / default, *_WIDTH_MULTS))]
    tried = [match]
    for changes in options:
        with torch.device("meta"):
            net: nn.Module = find_net(own.source).factory(**{**own.options, **changes})
        tried.append(Signature.of(net, own.source, {**own.options, **changes}, own.translate).compared(tensors))
        if tried[-1].is_exact:
            break
    return max(tried, key=lambda each: each.share)


def _num_parameters(tensors: Tensors) -> int:
    """The parameters of a file if its network told as many classes apart, of as many channels, as torchvision's do."""
    parameters = {name: tensor for name, tensor in tensors.items() if not name.endswith(_NO_PARAMETERS)}
    total = sum(tensor.numel() for tensor in parameters.values())
    weights = {name: tensor for name, tensor in parameters.items() if tensor.dim() > 1}
    last = [name for name in weights if _HEAD.match(name)] or list(weights)
    if last:
        name = max(last, key=lambda each: [int(part) if part.isdecimal() else -1 for part in each.split(".")])
        classes, *rest = weights[name].shape
        bias = name.removesuffix("weight") + "bias" in parameters
        total += (_CLASSES - classes) * (math.prod(rest) + bias)
    readers = [tensor for tensor in weights.values() if tensor.dim() == 4 and tensor.shape[2:].numel() > 1]
    if readers and not any(tensor.shape[1] == _CHANNELS for tensor in readers):
        out_channels, channels, *kernel = readers[0].shape
        total += (_CHANNELS - channels) * out_channels * math.prod(kernel)
    return total
