"""What a sequence of layers runs, the sequences in it opened."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import nn


class Place(NamedTuple):
    """Where a layer stands: in which sequence, under which name.

    ``path`` is its name in one sequence of all layers: ``conv1_pointwise``.
    """

    container: nn.Sequential
    name: str
    path: str

    @property
    def layer(self) -> nn.Module:
        """The layer that stands there now."""
        return self.container.get_submodule(self.name)

    def replace(self, layer: nn.Module) -> None:
        """Let another layer stand there."""
        self.container.set_submodule(self.name, layer)

    def remove(self) -> None:
        """Take the layer out of its sequence."""
        delattr(self.container, self.name)


def chain(module: nn.Sequential, path: str = "") -> Iterator[Place]:
    """The places of what a sequence runs, in order, the sequences in it opened."""
    for name, child in module._modules.items():
        if isinstance(child, nn.Sequential):
            yield from chain(child, f"{path}{name}_")
        else:
            yield Place(module, name, path + name)
