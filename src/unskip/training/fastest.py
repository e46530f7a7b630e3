"""Which of the ways to compute a training's steps is the fastest on this machine, found by taking some of them."""

from __future__ import annotations

import contextlib
import copy
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from statistics import median

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from unskip.environment import describe_environment
from unskip.errors import UnskipError
from unskip.files import cache_folder, parse_json, write_json
from unskip.methods.base import DistillationLoss, Phase
from unskip.recipe import Constant, TrainingRecipe, digest
from unskip.training.device import describe_numerics, image_layout, numerics_of, place, random_as_it_was, uses_bf16
from unskip.training.phase import RunningPhase, running

_COLD, _TIMED = 2, 5  # steps of each way
_LEAST_STEPS = 1500  # of a training, of which trying two ways is then a hundredth
_LEAST_COMPILED = 600.0  # seconds of a training on a GPU, of which compiling is then a tenth
_CLEARLY = 0.95  # of the usual way's time, which another must fall below: the clock alone moves by less
_HALFWAY = 0.5


def usual(settings: TrainingRecipe, loss: DistillationLoss, device: torch.device) -> TrainingRecipe:
    """The settings with the way that is taken without trying: channels-last, not compiled, where they leave it open.

    Raises `UnskipError` where they ask for a layout that this CPU cannot compute in.
    """
    unsafe = unsafe_in_channels_last(settings, loss, device)
    if settings.channels_last is True and unsafe is not None:
        raise UnskipError(
            f"training.channels_last: on CPUs with AVX2 and without AVX-512, PyTorch {torch.__version__} writes beyond "
            f"its memory in float32 convolutions such as {unsafe}; leave it at auto, or set it to false"
        )
    return settings.model_copy(
        update={
            "channels_last": _may_be_last(settings, loss, device)
            if settings.channels_last == "auto"
            else settings.channels_last,
            "compile": settings.compile is True,
        }
    )


def unsafe_in_channels_last(settings: TrainingRecipe, loss: DistillationLoss, device: torch.device) -> str | None:
    """The name of a convolution that the CPU's library computes wrongly in float32 and channels-last, if any.

    With AVX2 and no AVX-512 oneDNN writes past the end of a buffer in convolutions of 2 to 7 channels whose stride is
    no less than their kernel (PyTorch 2.13); in 3,456 cases with more channels, in bf16 or with AVX-512 it never did.
    """
    capabilities = torch.cpu.get_capabilities()
    if device.type != "cpu" or uses_bf16(settings) or capabilities.get("avx512_f") or not capabilities.get("avx2"):
        return None
    for name, conv in _convs(loss):
        if 1 < conv.in_channels < 8 and not _overlaps(conv):
            return name
    return None


def _may_be_last(settings: TrainingRecipe, loss: DistillationLoss, device: torch.device) -> bool:
    """Whether channels-last is taken without being asked for: on CPUs in float32, if all convolutions are usual ones.

    Those are depth-wise, or have 8 channels or more in each group, or are the first of images. Others are few, and what
    the CPU's library does with some of them (see `unsafe_in_channels_last`) leaves no trust in the rest.
    """
    if device.type != "cpu" or uses_bf16(settings):
        return True
    return all(
        conv.out_channels % 8 == 0
        and (
            min(conv.in_channels, conv.out_channels) // conv.groups >= 8
            or conv.groups == conv.in_channels == conv.out_channels
            or (conv.in_channels in (1, 3) and _overlaps(conv))
        )
        for _, conv in _convs(loss)
    )


def _overlaps(conv: nn.Conv2d) -> bool:
    """Whether its kernel is larger than its stride, or the stride is 1."""
    return all(stride == 1 or kernel > stride for kernel, stride in zip(conv.kernel_size, conv.stride, strict=True))


def _convs(loss: DistillationLoss) -> Iterator[tuple[str, nn.Conv2d]]:
    """All convolutions with two axes that the training computes, by their names."""
    for phase in loss.phases:
        for net in _nets(phase):
            for name, part in net.named_modules():
                if isinstance(part, nn.Conv2d):
                    yield name, part


def _nets(phase: Phase) -> list[nn.Module]:
    """What a phase computes, its teacher included."""
    teacher = phase.objective.teacher
    return [phase.objective] if teacher is None else [phase.objective, teacher.net]


def decided(
    settings: TrainingRecipe,
    loss: DistillationLoss,
    batches: Iterator[tuple[Tensor, Tensor]] | None,
    *,
    fabric: Fabric,
    steps: int,
    before: Mapping[str, str | bool] | None = None,
) -> TrainingRecipe:
    """The settings with ``channels_last`` and ``compile`` decided: the fastest of what they leave open.

    ``batches`` of the training, of which one is taken where it is needed; ``steps``: how many it has. One that goes on
    takes the way that it took ``before`` (see `numerics_of`), if this machine has it. Trainings that are too
    short for a trial, of several processes, or without batches that can be looked at take the usual way; see `usual`.
    The trial takes copies of the networks, which are afterwards what they were, as the random generators are; what
    it finds is kept in the user's cache folder by network, batch and machine.
    """
    first = usual(settings, loss, fabric.device)
    ways = [first, *(way for way in _ways(settings, first, loss, fabric.device) if way != first)]
    for way in ways:
        if numerics_of(way) == before:
            return way
    if batches is None or len(ways) == 1 or steps < _LEAST_STEPS or fabric.world_size > 1:
        return first
    images, labels = next(batches)
    file = cache_folder() / "steps" / f"{_key(settings, loss, images)}.json"
    times = _read(file, describe_numerics(first))
    if times is None:
        with random_as_it_was(fabric):
            times = _times(ways, loss, images, labels, fabric, steps)
        with contextlib.suppress(OSError):  # a cache that cannot be written is none
            write_json(file, times)
    return _fastest(ways, times)


def _ways(
    settings: TrainingRecipe, first: TrainingRecipe, loss: DistillationLoss, device: torch.device
) -> list[TrainingRecipe]:
    """What the settings leave open: on CPUs the layout, on GPUs whether the step is compiled.

    Compiling was measured on CPUs: it gains nothing over channels-last (docs/results/training-speed.md).
    """
    layouts = [first.channels_last]
    if settings.channels_last == "auto" and device.type == "cpu":
        layouts = [True, False] if _may_be_last(settings, loss, device) else [False]
    compiled = [False, True] if settings.compile == "auto" and device.type == "cuda" else [first.compile]
    return [
        settings.model_copy(update={"channels_last": layout, "compile": how})
        for layout, how in product(layouts, compiled)
    ]


def _times(
    ways: Sequence[TrainingRecipe],
    loss: DistillationLoss,
    images: Tensor,
    labels: Tensor,
    fabric: Fabric,
    steps: int,
) -> dict[str, float]:
    """Seconds a step of each way, by its name, mean over the phases; a way that fails, or would not pay, has none."""
    shares = [phase.epochs for phase in loss.phases]
    times: dict[str, float] = {}
    for compiled in (False, True):
        group = [way for way in ways if way.compile is compiled]
        if not group or (compiled and times and steps * min(times.values()) < _LEAST_COMPILED):
            continue
        try:
            seconds_of = [_in_turn(phase, group, images, labels, fabric) for phase in loss.phases]
        except UnskipError as error:
            if not times:
                raise
            warnings.warn(f"the step is not compiled: {error}", stacklevel=2)
            continue
        for way, *seconds in zip(group, *seconds_of, strict=True):
            mean = sum(each * share for each, share in zip(seconds, shares, strict=True)) / sum(shares)
            times[describe_numerics(way)] = mean
    return times


def _in_turn(
    phase: Phase, ways: Sequence[TrainingRecipe], images: Tensor, labels: Tensor, fabric: Fabric
) -> list[float]:
    """Median seconds of a phase's step, each way by a copy of it, in turn."""
    with ExitStack() as meanwhile:
        runs: list[tuple[RunningPhase, Tensor]] = []
        for way in ways:
            mine = copy.deepcopy(phase)
            place(mine.objective, fabric, way)
            steady = way.model_copy(update={"schedule": Constant()})  # others end with the training's last step
            run = meanwhile.enter_context(running(mine, fabric=fabric, settings=steady, steps_per_epoch=1))
            run.objective.train()
            runs.append((run, images.contiguous(memory_format=image_layout(way))))
        times: list[list[float]] = [[] for _ in runs]
        for _ in range(_COLD + _TIMED):
            for (run, laid), mine_times in zip(runs, times, strict=True):
                began = time.perf_counter()
                run.step(laid, labels, _HALFWAY)
                if fabric.device.type == "cuda":
                    torch.cuda.synchronize(fabric.device)
                mine_times.append(time.perf_counter() - began)
    return [median(each[_COLD:]) for each in times]


def _fastest(ways: Sequence[TrainingRecipe], times: Mapping[str, float]) -> TrainingRecipe:
    """The way with the least time; the first one unless another is clearly faster."""
    first, *others = ways
    limit = _CLEARLY * times[describe_numerics(first)]
    faster = [way for way in others if times.get(describe_numerics(way), limit) < limit]
    return min(faster, key=lambda way: times[describe_numerics(way)], default=first)


def _key(settings: TrainingRecipe, loss: DistillationLoss, images: Tensor) -> str:
    """What decides how long a step takes, as far as it is known."""
    phases = [[phase.epochs, *map(_layers, _nets(phase))] for phase in loss.phases]
    decides = {
        "machine": describe_environment(),
        "settings": [describe_numerics(settings), settings.optimizer.name, settings.deterministic],
        "batch": [*images.shape, settings.gradient_accumulation],
        "phases": phases,
    }
    return digest(decides)[:16]


def _layers(net: nn.Module) -> list[str]:
    """Every part of a network, with its settings as PyTorch prints them."""
    return [f"{name} {type(part)} {part.extra_repr()}" for name, part in net.named_modules()]


def _read(path: Path, usual: str) -> dict[str, float] | None:
    """What an earlier trial found, or None where there is none that can be read."""
    try:
        known = parse_json(path.read_bytes(), str(path))
    except (OSError, UnskipError):
        return None
    is_whole = isinstance(known, dict) and usual in known and all(isinstance(each, float) for each in known.values())
    return known if is_whole else None
