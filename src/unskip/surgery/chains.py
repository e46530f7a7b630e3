"""What a sequence of layers runs, the sequences in it opened."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

__all__ = ["chain", "named_chain"]


def chain(module: nn.Sequential) -> Iterator[tuple[nn.Sequential, str]]:
    """The places, container and name, of what a sequence runs, the sequences in it opened."""
    for name, child in module._modules.items():
        if isinstance(child, nn.Sequential):
            yield from chain(child)
        else:
            yield module, name


def named_chain(module: nn.Sequential) -> list[tuple[str, nn.Module]]:
    """What a sequence runs, the sequences in it opened, under names for one sequence: ``conv1_pointwise``."""
    opened = []
    for name, child in module._modules.items():
        assert child is not None
        if isinstance(child, nn.Sequential):
            opened += [(f"{name}_{inner}", layer) for inner, layer in named_chain(child)]
        else:
            opened.append((name, child))
    return opened
