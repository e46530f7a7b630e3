"""Networks by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from unskip.errors import UnskipError
from unskip.nets.resnet import basic_block, bottleneck_block, cifar_resnet, resnet
from unskip.nets.staged import NetSpec, StagedNet
from unskip.settings import nearest

__all__ = ["NETS", "default_image_size", "make_net", "net_summary"]

_BLOCKS = {
    18: (basic_block, (2, 2, 2, 2)),
    34: (basic_block, (3, 4, 6, 3)),
    50: (bottleneck_block, (3, 4, 6, 3)),
    101: (bottleneck_block, (3, 4, 23, 3)),
}

NETS: Mapping[str, Callable[..., StagedNet]] = {
    **{f"resnet{depth}": partial(cifar_resnet, depth) for depth in (14, 20, 26, 32, 44, 56)},
    **{f"resnet{depth}": partial(resnet, *blocks) for depth, blocks in _BLOCKS.items()},
    **{f"resnet{depth}-cifar": partial(resnet, *blocks, small_images=True) for depth, blocks in _BLOCKS.items()},
}


def default_image_size(name: str) -> int:
    """The side in pixels of the images that a network of :data:`NETS` was designed for."""
    depth = int(name.removeprefix("resnet").removesuffix("-cifar"))
    return 224 if depth in _BLOCKS and not name.endswith("-cifar") else 32


def net_summary(name: str) -> str:
    """One line about a network of :data:`NETS`."""
    depth = int(name.removeprefix("resnet").removesuffix("-cifar"))
    if depth not in _BLOCKS:
        return f"CIFAR ResNet with {depth} layers: three stages of {(depth - 2) // 6} basic blocks, width 16"
    block, blocks = _BLOCKS[depth]
    kind = "basic blocks" if block is basic_block else "bottlenecks"
    stem = "3x3 stem, no pooling (small images)" if name.endswith("-cifar") else "7x7 stem and max-pool (ImageNet)"
    return f"ResNet-{depth}: {'+'.join(map(str, blocks))} {kind}, {stem}"


def make_net(source: str, options: Mapping[str, Any] | None = None) -> StagedNet:
    """A freshly initialised network with its `NetSpec`.

    Raises `UnskipError` for an unknown name or an option that the network does not have.
    """
    options = dict(options or {})
    if source not in NETS:
        raise UnskipError(f"no network {source!r}{nearest(source, NETS)} `unskip nets` lists them")
    factory = NETS[source]
    known = [
        name
        for name, parameter in inspect.signature(factory).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name != "small_images"
    ]
    for name, value in options.items():
        if name not in known:
            raise UnskipError(
                f"{source} has no option {name!r}{nearest(name, known)} (its options: {', '.join(known)})"
            )
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UnskipError(f"option {name} of {source} must be a whole number above 0, not {value!r}")
    net = factory(**options)
    net.spec = NetSpec(source, options)
    return net
