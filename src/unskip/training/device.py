"""Where and how precisely a training runs, decided by what the chip can do."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from contextlib import AbstractContextManager
from functools import cache

import torch
from filelock import FileLock
from lightning_fabric import Fabric
from torch import nn

from unskip.environment import describe_environment
from unskip.errors import UnskipError
from unskip.files import cache_folder, parse_json, write_json
from unskip.machine_memory import keep_freed_memory
from unskip.recipe import TrainingRecipe, digest

_CLEARLY = 0.9  # of the time in float32, which is closer to what was meant


@cache
def bf16_saves_time() -> bool:
    """Whether bf16 autocast is clearly faster here: what GPUs say of themselves, and CPUs show.

    A CPU can have instructions for bf16 and be slower with them: one with AVX512-BF16 and no AMX took 1.3 to 1.5 times
    as long for a step. It is asked once, by a few convolutions; the answer is kept in the user's cache folder. Several
    processes of one training must agree without a clock, and take bf16 on CPUs with AMX.
    """
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    if not any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16")):
        return False
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return bool(capabilities.get("amx_bf16"))
    file = cache_folder() / "bf16" / f"{digest(describe_environment())[:16]}.json"
    with contextlib.ExitStack() as meanwhile:
        with contextlib.suppress(OSError):  # a cache that cannot be written is none
            file.parent.mkdir(parents=True, exist_ok=True)
            meanwhile.enter_context(FileLock(file.with_suffix(".lock")))  # who asks at the same time agrees
        with contextlib.suppress(OSError, UnskipError):
            share_known = parse_json(file.read_bytes(), str(file))
            if isinstance(share_known, float):
                return share_known < _CLEARLY
        share = _time_of_bf16()
        with contextlib.suppress(OSError):
            write_json(file, share)
        return share < _CLEARLY


def _time_of_bf16() -> float:
    """The least time of two convolutions' forward and backward passes in bf16 on the CPU, over that in float32."""
    layers: list[nn.Module] = []
    for _ in range(2):
        conv = nn.utils.skip_init(nn.Conv2d, 64, 64, 3, padding=1, bias=False)
        nn.init.constant_(conv.weight, 0.01)
        layers += [conv, nn.BatchNorm2d(64), nn.ReLU()]
    net = nn.Sequential(*layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    maps = (
        torch.linspace(-1, 1, 16 * 64 * 16 * 16).reshape(16, 64, 16, 16).contiguous(memory_format=torch.channels_last)
    )
    least = {False: float("inf"), True: float("inf")}
    for _ in range(8):
        for bf16 in least:
            began = time.perf_counter()
            with torch.enable_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                answers = net(maps.requires_grad_())
            answers.sum().backward()
            least[bf16] = min(least[bf16], time.perf_counter() - began)
    return least[True] / least[False]


def uses_bf16(settings: TrainingRecipe) -> bool:
    """Whether this training runs in bf16 autocast on this machine."""
    return settings.precision == "bf16" or (settings.precision == "auto" and bf16_saves_time())


def image_layout(settings: TrainingRecipe) -> torch.memory_format:
    """How a training whose layout is decided stores images and maps in memory."""
    return torch.channels_last if settings.channels_last is True else torch.contiguous_format


def numerics_of(settings: TrainingRecipe) -> dict[str, str | bool]:
    """What decides the last bits of a training besides its seed and its images, as far as it is decided."""
    return {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "precision": "bf16" if uses_bf16(settings) else "float32",
        "channels_last": settings.channels_last,
        "compile": settings.compile,
    }


def describe_numerics(settings: TrainingRecipe) -> str:
    """`numerics_of` in a few words."""
    found = numerics_of(settings)
    layout = {True: "channels-last", False: "channels-first", "auto": ""}[found["channels_last"]]
    words = (found["device"], found["precision"], layout, "compiled" if found["compile"] is True else "")
    return " ".join(str(word) for word in words if word)


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
    torch.backends.cudnn.deterministic = settings.deterministic
    torch.backends.cudnn.benchmark = not settings.deterministic
    return fabric


def place(module: nn.Module, fabric: Fabric, settings: TrainingRecipe) -> None:
    """Bring a network, or a loss with its networks, onto the training's device, in its memory format."""
    module.to(fabric.device)
    module.to(memory_format=image_layout(settings))  # type: ignore[call-overload]


def random_as_it_was(fabric: Fabric) -> AbstractContextManager[None]:
    """Draws meanwhile leave PyTorch's generators as they were."""
    return torch.random.fork_rng(devices=[fabric.device] if fabric.device.type == "cuda" else [])
