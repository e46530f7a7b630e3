"""A network by the names and shapes of its tensors, without memory for them, and how a state dict compares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch import Tensor, nn

Tensors = Mapping[str, Tensor]
Shape = tuple[int, ...]

COUNTERS = "num_batches_tracked"  # of BatchNorm; older files have none


@dataclass(frozen=True)
class Signature:
    """What a network of ``source`` with ``options`` is made of; ``shapes`` are those of all tensors but counters.

    ``first`` is the weight that reads the image, ``last`` the one that gives the classes, None where there is none:
    their numbers of channels and of classes are free. ``translate`` brings names that a file may have under those here.
    """

    source: str
    options: Mapping[str, Any]
    shapes: Mapping[str, Shape]
    first: str | None
    last: str | None
    translate: Callable[[Tensors], dict[str, Tensor]] | None = None

    @classmethod
    def of(
        cls,
        net: nn.Module,
        source: str,
        options: Mapping[str, Any],
        translate: Callable[[Tensors], dict[str, Tensor]] | None = None,
    ) -> Signature:
        """That of a network, which may be on the meta device."""
        shapes = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items() if not name.endswith(COUNTERS)}
        convolutions = [name for name, module in net.named_modules() if isinstance(module, nn.Conv2d)]
        layers = [name for name, module in net.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
        first, last = (
            f"{names[place]}.weight" if names else None for names, place in ((convolutions, 0), (layers, -1))
        )
        return cls(source, options, shapes, first, last, translate)

    def compared(self, tensors: Tensors) -> Match:
        """How a state dict compares with this network."""
        named = self.translate(tensors) if self.translate else tensors
        shapes = {name: tuple(tensor.shape) for name, tensor in named.items() if not name.endswith(COUNTERS)}
        return Match(self, shapes)

    def wanted(self, name: str, shape: Shape) -> Shape:
        """The shape that a tensor must have, with the free numbers of what it is compared with."""
        own = list(self.shapes[name])
        if len(shape) == len(own):
            if name == self.first:
                own[1] = shape[1]
            if self.last is not None and name in (self.last, self.last.removesuffix("weight") + "bias"):
                own[0] = shape[0]
        return tuple(own)


@dataclass(frozen=True)
class Match:
    """A network beside a state dict, whose tensors have these ``shapes``."""

    signature: Signature
    shapes: Mapping[str, Shape] = field(repr=False)

    @cached_property
    def fitting(self) -> int:
        """Tensors of the network that the state dict has, in their shapes."""
        own = self.signature
        return sum(self.shapes[name] == own.wanted(name, self.shapes[name]) for name in self.common)

    @cached_property
    def common(self) -> list[str]:
        """The names that both have."""
        return [name for name in self.signature.shapes if name in self.shapes]

    @property
    def shared_names(self) -> float:
        """The names that both have among those of either, from 0 to 1."""
        return len(self.common) / max(len({*self.signature.shapes, *self.shapes}), 1)

    @property
    def missing(self) -> list[str]:
        """Tensors of the network that the state dict has not, or not in their shape."""
        own = self.signature
        return [
            name
            for name in own.shapes
            if name not in self.shapes or self.shapes[name] != own.wanted(name, self.shapes[name])
        ]

    @property
    def is_exact(self) -> bool:
        """Whether network and state dict have the same tensors."""
        return self.fitting == len(self.signature.shapes) == len(self.shapes)

    @property
    def share(self) -> float:
        """The tensors that fit among those of the network and of the state dict, from 0 to 1."""
        return self.fitting / max(len({*self.signature.shapes, *self.shapes}), 1)

    @property
    def options(self) -> dict[str, Any]:
        """The options of the network with the numbers of classes and of channels of the state dict."""
        own, counts = self.signature, dict(self.signature.options)
        for name, option, place in ((own.last, "num_classes", 0), (own.first, "in_channels", 1)):
            if name in self.common and len(self.shapes[name]) > place:
                count = self.shapes[name][place]
                if count != own.shapes[name][place]:
                    counts[option] = count
        return counts
