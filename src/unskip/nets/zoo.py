"""Networks by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from unskip.errors import UnskipError
from unskip.nets.resnet import basic_block, bottleneck_block, cifar_resnet, resnet
from unskip.nets.staged import NetSpec, StagedNet
from unskip.settings import nearest

__all__ = ["NETS", "NetEntry", "make_net"]


@dataclass(frozen=True)
class NetEntry:
    """A network by name: how to make it, a line about it, and the side in pixels of the images it was designed for."""

    factory: Callable[..., StagedNet]
    summary: str
    image_size: int


_BLOCKS = {
    18: (basic_block, (2, 2, 2, 2)),
    34: (basic_block, (3, 4, 6, 3)),
    50: (bottleneck_block, (3, 4, 6, 3)),
    101: (bottleneck_block, (3, 4, 23, 3)),
}


def _cifar_resnet(depth: int) -> NetEntry:
    summary = f"CIFAR ResNet with {depth} layers: three stages of {(depth - 2) // 6} basic blocks, width 16"
    return NetEntry(partial(cifar_resnet, depth), summary, 32)


def _resnet(depth: int, *, small_images: bool) -> NetEntry:
    block, blocks = _BLOCKS[depth]
    kind = "basic blocks" if block is basic_block else "bottlenecks"
    stem = "3x3 stem, no pooling (small images)" if small_images else "7x7 stem and max-pool (ImageNet)"
    return NetEntry(
        partial(resnet, block, blocks, small_images=small_images),
        f"ResNet-{depth}: {'+'.join(map(str, blocks))} {kind}, {stem}",
        32 if small_images else 224,
    )


NETS: Mapping[str, NetEntry] = {
    **{f"resnet{depth}": _cifar_resnet(depth) for depth in (14, 20, 26, 32, 44, 56)},
    **{f"resnet{depth}": _resnet(depth, small_images=False) for depth in _BLOCKS},
    **{f"resnet{depth}-cifar": _resnet(depth, small_images=True) for depth in _BLOCKS},
}


def make_net(source: str, options: Mapping[str, Any] | None = None) -> StagedNet:
    """A freshly initialised network with its `NetSpec`.

    Raises `UnskipError` for an unknown name or an option that the network does not have.
    """
    options = dict(options or {})
    if source not in NETS:
        raise UnskipError(f"no network {source!r}{nearest(source, NETS)} (`unskip nets` lists them)")
    factory = NETS[source].factory
    known = {
        name: parameter.default
        for name, parameter in inspect.signature(factory).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name != "small_images"
    }
    for name, value in options.items():
        if name not in known:
            raise UnskipError(
                f"{source} has no option {name!r}{nearest(name, known)} (its options: {', '.join(known)})"
            )
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UnskipError(f"option {name} of {source} must be a whole number above 0, not {value!r}")
    options = known | options
    net = factory(**options)
    net.spec = NetSpec(source, options)
    return net
