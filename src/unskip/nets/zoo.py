"""Networks by name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from unskip.errors import UnskipError, nearest, shortened
from unskip.nets import mobilenet, resnet, vgg
from unskip.nets.assembly import Block
from unskip.nets.foreign import ForeignNet, PublishedWeights, find_foreign
from unskip.nets.staged_net import NetSpec, StagedNet
from unskip.nets.wide_resnet import wide_resnet
from unskip.nets.within_memory import WithinMemory
from unskip.own_code import allow_module_of
from unskip.settings import checked_arguments

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class NetEntry:
    """A network by name.

    ``factory`` makes it, its keyword-only arguments are the net's options; ``image_size`` is the side in pixels of the
    images that it was designed for; ``from_torchvision`` brings the state dict of torchvision's net of that
    architecture under the names used here. ``published`` are the weights that come with another package's net.
    """

    factory: Callable[..., StagedNet]
    summary: str
    image_size: int
    from_torchvision: Callable[[Tensors], dict[str, Tensor]] | None = None
    published: PublishedWeights | None = None


_RESNETS = {
    18: (resnet.basic_block, (2, 2, 2, 2)),
    34: (resnet.basic_block, (3, 4, 6, 3)),
    50: (resnet.bottleneck_block, (3, 4, 6, 3)),
    101: (resnet.bottleneck_block, (3, 4, 23, 3)),
    152: (resnet.bottleneck_block, (3, 8, 36, 3)),
}
# Stagewise KD, table 1.
_STAGEWISE = {
    10: (1, 1, 1, 1),
    14: (1, 1, 2, 2),
    18: (2, 2, 2, 2),
    20: (2, 2, 3, 2),
    26: (3, 3, 3, 3),
    34: (3, 4, 6, 3),
}
# EKD-DDNN, table 2; with the blocks of ResNet-50 they are its sub-nets.
_BOTTLENECKS = {26: (2, 2, 2, 2), 32: (2, 3, 3, 2), 38: (3, 3, 3, 3), 41: (3, 4, 4, 2), 44: (3, 4, 4, 3)}


_DEEPEST = 5_000  # layers: four times the deepest that was ever printed


def _cifar_resnet(depth: int) -> NetEntry:
    if not 8 <= depth <= _DEEPEST or (depth - 2) % 6:
        near = nearest(f"resnet{depth}", NETS)
        raise UnskipError(
            f"no network 'resnet{depth}'{near} A CIFAR ResNet has 6n+2 layers (8, 14, 20, .. 110, ..), up "
            f"to {_DEEPEST:,}"
        )
    factory = partial(resnet.cifar_resnet, depth)
    blocks = (depth - 2) // 6
    summary = f"CIFAR ResNet, 3 stages of {blocks} basic blocks, width 16"
    return NetEntry(factory, summary, 32, resnet.from_torchvision)


def _wide_resnet(depth: int, widening: int) -> NetEntry:
    if not 10 <= depth <= _DEEPEST or (depth - 4) % 6 or widening < 1:
        raise UnskipError(
            f"no network 'wrn-{depth}x{widening}': a Wide ResNet has 6n+4 layers (10, 16, 22, 28, ..), up "
            f"to {_DEEPEST:,}, and a widening of 1 or more"
        )
    summary = f"WRN-{depth}-{widening}: 3 stages of {(depth - 4) // 6} pre-activation blocks, {widening}x wide"
    return NetEntry(partial(wide_resnet, depth, widening), summary, 32)


def _resnet(
    block: Block,
    blocks: tuple[int, ...],
    form: str,
    *,
    small_images: bool = False,
    average_max_head: bool = False,
) -> NetEntry:
    kind = "basic blocks" if block is resnet.basic_block else "bottlenecks"
    return NetEntry(
        partial(resnet.resnet, block, blocks=blocks, small_images=small_images, average_max_head=average_max_head),
        f"{_sum(blocks)} {kind}{form}",
        32 if small_images else 224,
        None if average_max_head else resnet.from_torchvision,
    )


def _any_resnet(block: Block, kind: str) -> NetEntry:
    factory = partial(resnet.resnet, block)
    return NetEntry(
        factory, f"{kind} of your choice: option blocks, such as [2, 2, 3, 2]", 224, resnet.from_torchvision
    )


def _vgg(depth: int, *, small_images: bool) -> NetEntry:
    head = "512-wide head (small images)" if small_images else "4096-wide head"
    return NetEntry(
        partial(vgg.vgg, vgg.BLOCKS[depth], small_images=small_images),
        f"{_sum(vgg.BLOCKS[depth])} convs with BN, {head}, no shortcuts",
        32 if small_images else 224,
        None if small_images else vgg.from_torchvision,
    )


def _sum(blocks: tuple[int, ...]) -> str:
    return "+".join(map(str, blocks))


NETS: Mapping[str, NetEntry] = {
    **{f"resnet{depth}": _cifar_resnet(depth) for depth in (14, 20, 26, 32, 44, 56)},
    **{f"resnet{depth}": _resnet(*net, ", 7x7 stem and max-pool (ImageNet)") for depth, net in _RESNETS.items()},
    **{
        f"resnet{depth}-cifar": _resnet(*net, ", 3x3 stem, no pooling (small images)", small_images=True)
        for depth, net in _RESNETS.items()
    },
    **{
        f"resnet{depth}-stagewise": _resnet(
            resnet.basic_block, blocks, ", average-max head (Stagewise KD)", average_max_head=True
        )
        for depth, blocks in _STAGEWISE.items()
    },
    **{
        f"resnet{depth}-bottleneck": _resnet(resnet.bottleneck_block, blocks, " (EKD-DDNN)")
        for depth, blocks in _BOTTLENECKS.items()
    },
    "resnet-basic": _any_resnet(resnet.basic_block, "basic blocks"),
    "resnet-bottleneck": _any_resnet(resnet.bottleneck_block, "bottlenecks"),
    **{
        f"wrn-{depth}x{widening}": _wide_resnet(depth, widening)
        for depth, widening in ((22, 2), (22, 10), (28, 2), (40, 2))
    },
    "mobilenetv2": NetEntry(
        mobilenet.mobilenet_v2,
        "7 stages of inverted residuals (ImageNet)",
        224,
        mobilenet.from_torchvision,
    ),
    "mobilenetv2-cifar": NetEntry(
        mobilenet.cifar_mobilenet_v2, "the form of the Demystification paper (small images)", 32
    ),
    **{f"vgg{depth}": _vgg(depth, small_images=False) for depth in vgg.BLOCKS},
    **{f"vgg{depth}-cifar": _vgg(depth, small_images=True) for depth in vgg.BLOCKS},
}

# Names that stand for more networks than are listed, and what they stand for.
FAMILIES: Mapping[str, str] = {
    "resnetDEPTH": "CIFAR ResNet of any depth 6n+2, such as resnet110",
    "wrn-DEPTHxWIDENING": "WRN of any depth 6n+4 and any widening, such as wrn-16x4",
}

# Names that stand for networks of other packages.
PACKAGES: Mapping[str, str] = {
    "torchvision:NAME": "any of torchvision's that classify or segment; of a detector, NAME.backbone",
    "timm:NAME": "any of timm's convolutional networks, such as timm:seresnet50",
    "PACKAGE.MODULE:FACTORY": "your own: what the function or class FACTORY in that module makes",
}
_PATTERNS: Mapping[str, Callable[..., NetEntry]] = {
    r"resnet([0-9]{1,9})": _cifar_resnet,
    r"wrn-([0-9]{1,9})x([0-9]{1,9})": _wide_resnet,
}


def find_net(source: str) -> NetEntry:
    """The network of that name: listed, one of a family (``resnet110``, ``wrn-16x4``), or another package's.

    Raises `UnskipError` for others, and for a module of the user's own that nobody allowed.
    """
    if source in NETS:
        return NETS[source]
    if ":" in source:
        foreign = find_foreign(source)
        return NetEntry(foreign, foreign.summary, foreign.image_size, published=foreign.published)
    for pattern, entry in _PATTERNS.items():
        found = re.fullmatch(pattern, source)
        if found:
            return entry(*map(int, found.groups()))
    raise UnskipError(f"no network {shortened(source)!r}{nearest(source, NETS)} (`unskip nets` lists them)")


def make_net(source: str, options: Mapping[str, Any] | None = None) -> StagedNet:
    """A freshly initialised network with its `NetSpec`.

    To name a network here allows its module, as :func:`unskip.allow_module` does; what a file says goes to
    `unskip.build`, which allows nothing. Raises `UnskipError` for an unknown name, for an option that the network does
    not have, and for a network that this machine's memory does not hold.
    """
    allow_module_of(source)
    return fresh_net(source, options or {})


def fresh_net(source: str, options: Mapping[str, Any]) -> StagedNet:
    """A freshly initialised network with its `NetSpec`, whoever named it.

    Raises `UnskipError` as :func:`make_net` does, and for a module of the user's own that nobody allowed.
    """
    factory = find_net(source).factory
    full = checked_arguments(factory, options, source)
    if not isinstance(factory, ForeignNet) and torch.get_default_device().type != "meta":
        _check_that_memory_holds(source, json.dumps(full, sort_keys=True))  # else nearly all is taken before
    with WithinMemory(f"{shortened(source)}: its weights"):
        net = factory(**full)
    net.spec = NetSpec(source, {name: value for name, value in full.items() if value is not None})
    return net


@cache
def _check_that_memory_holds(source: str, options: str) -> None:
    """Make a network without values; once in a process, as that takes as long as with them."""
    with (
        WithinMemory(f"{shortened(source)}: its weights"),
        torch.device("meta"),
        torch.random.fork_rng(devices=[]),
    ):
        find_net(source).factory(**json.loads(options))
