"""BatchNorm over the images of all processes, where the device can."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning_fabric import Fabric
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def can_synchronize(fabric: Fabric) -> bool:
    """Whether there are several processes, and PyTorch can synchronise BatchNorm on their devices."""
    return fabric.world_size > 1 and fabric.device.type == "cuda"


@contextmanager
def synchronized_batchnorm(module: nn.Module) -> Iterator[None]:
    """Let all BatchNorms in a module take their statistics over all processes, as one process with all images would.

    They stay the objects that they are, with their parameters, buffers and names, and are afterwards what they were.
    """
    changed: list[tuple[nn.Module, type[nn.Module]]] = []
    for part in module.modules():
        kind: type[nn.Module] = type(part)
        if isinstance(part, _BatchNorm) and kind.forward is _BatchNorm.forward:
            setattr(part, "__class__", _synchronized(kind))  # noqa: B010  the type checker knows one class only
            changed.append((part, kind))
    try:
        yield
    finally:
        for part, kind in changed:
            part.__class__ = kind


def _synchronized(kind: type[nn.Module]) -> type[nn.Module]:
    """A kind of BatchNorm with the forward of PyTorch's synchronised one."""
    members: dict[str, Any] = {
        "forward": nn.SyncBatchNorm.forward,
        "_check_non_zero_input_channels": nn.SyncBatchNorm._check_non_zero_input_channels,
        "process_group": None,
    }
    return type(f"Synchronized{kind.__name__}", (kind,), members)
