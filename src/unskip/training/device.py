"""Where and how precisely a training runs, decided by what the chip can do."""

from __future__ import annotations

import ctypes
import logging
import os
import sys

import torch
from lightning_fabric import Fabric
from torch import nn

from unskip.recipe import TrainingRecipe

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h


def computes_in_bf16() -> bool:
    """Whether the chip multiplies bf16 matrices natively, so that autocast saves time."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))


def uses_bf16(settings: TrainingRecipe) -> bool:
    """Whether this training runs in bf16 autocast on this machine."""
    return settings.precision == "bf16" or (settings.precision == "auto" and computes_in_bf16())


def uses_channels_last(settings: TrainingRecipe) -> bool:
    """Whether this training stores images and maps as (batch, height, width, channels)."""
    return uses_bf16(settings) if settings.channels_last == "auto" else settings.channels_last


def describe_numerics(settings: TrainingRecipe) -> str:
    """What decides the last bits of a training besides its recipe."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    precision = "bf16" if uses_bf16(settings) else "float32"
    return f"{device} {precision} {'channels-last' if uses_channels_last(settings) else 'channels-first'}"


def make_fabric(settings: TrainingRecipe) -> Fabric:
    """One process on the best device, or as many as ``torchrun`` started."""
    for name in ("lightning_fabric", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    fabric = Fabric(
        accelerator="cuda" if torch.cuda.is_available() else "cpu",
        devices=processes,
        num_nodes=int(os.environ.get("WORLD_SIZE", "1")) // processes,
        strategy="ddp" if int(os.environ.get("WORLD_SIZE", "1")) > 1 else "auto",
        precision="bf16-mixed" if uses_bf16(settings) else "32-true",
    )
    fabric.launch()
    keep_freed_memory()
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    return fabric


def keep_freed_memory() -> None:
    """Let glibc keep what a step frees for the next one, where it would return it and fault it in again.

    Measured on a 32-layer CIFAR ResNet, batch 128: 2,000 to 16,000 page faults a step without, none with; a twentieth
    of the step as a rule, and most of it on virtual machines whose host takes free pages back.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)


def place(module: nn.Module, fabric: Fabric, settings: TrainingRecipe) -> None:
    """Bring a network, or a loss with its networks, onto the training's device, in its memory format."""
    module.to(fabric.device)
    if uses_channels_last(settings):
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
