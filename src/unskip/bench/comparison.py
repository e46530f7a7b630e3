"""Compare networks and deployed files: latency, memory, size and accuracy of the very files that are timed."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch

from unskip.bench.accuracies import Accuracies
from unskip.bench.files import Files, TimedFile
from unskip.bench.forecasts import Forecasts
from unskip.bench.targets import Target, find_targets
from unskip.environment import describe_environment, package_version
from unskip.errors import UnskipError
from unskip.measure import Job, Latency, Measurement, measure_files, speedup
from unskip.nets.within_memory import check_memory
from unskip.report.bench_record import Bench, Cell, FileAccuracy, Group, Load, PeakMemory, Ratio, Times
from unskip.runtimes import find_runtime
from unskip.settings import nearest, shortened
from unskip.tasks import Score

__all__ = ["BenchSettings", "bench", "names_in", "numbers_in"]

BUSY = 0.25  # of the cores; above that, other processes are worth a warning


@dataclass(frozen=True)
class BenchSettings:
    """In which settings targets are compared: every runtime with every number of threads and every batch size.

    ``repeats`` rounds are shared by ``processes`` launches of each file's process. ``image_size``, (height, width),
    is for networks by name; ``data`` and ``data_settings`` are those of `Accuracies`.
    """

    runtimes: Sequence[str] = ("onnxruntime",)
    threads: Sequence[int] = (1,)
    batch_sizes: Sequence[int] = (1,)
    device: str = "cpu"
    repeats: int = 50
    processes: int = 3
    image_size: tuple[int, int] | None = None
    accuracy: bool = True
    data: str | None = None
    data_settings: Sequence[str] = ()


def bench(
    targets: Sequence[str], settings: BenchSettings | None = None, *, say: Callable[[str], None] = lambda text: None
) -> Bench:
    """Measure targets side by side in every setting; see :func:`unskip.bench.find_targets` for what can be named.

    Networks are exported for each runtime and batch size, BatchNorm folded, images normalised outside of the file.
    What cannot be measured has its reason in its cell. ``say`` is told what is being done. Raises `UnskipError` where
    nothing can be measured, and for a runtime, a device or a target that is not there.
    """
    settings = settings or BenchSettings()
    load = _load()  # before this process makes some itself
    started = time.time()
    _check(settings)
    accuracies = Accuracies(wanted=settings.accuracy, data=settings.data, settings=settings.data_settings)
    found = find_targets(targets, settings.image_size)
    _check_fits(found, settings)
    with tempfile.TemporaryDirectory(prefix="unskip-bench-") as folder:
        table = _Table(found, settings, Files(Path(folder), accuracies.test_images), accuracies, say)
        groups = tuple(
            table.group(runtime, threads, batch_size)
            for runtime in settings.runtimes
            for threads in settings.threads
            for batch_size in settings.batch_sizes
        )
    cells = [cell for group in groups for cell in group.cells]
    if all(cell.latency is None for cell in cells):
        raise UnskipError(f"nothing could be measured: {cells[0].refused}")
    return Bench(
        unskip=package_version(),
        started=datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        seconds=time.time() - started,
        repeats=settings.repeats,
        processes=min(settings.processes, settings.repeats),
        load=load,
        subjects=tuple(table.forecasts.subject(target) for target in found),
        groups=groups,
        notes=tuple(_notes(found, settings, load.cores)),
        environment=describe_environment(),
    )


def names_in(text: str) -> tuple[str, ...]:
    """Names that are separated by commas, each once."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def numbers_in(option: str, text: str, most: int = 65_536) -> tuple[int, ...]:
    """Whole numbers from 1 to ``most``, separated by commas, each once; `UnskipError`, naming the option, otherwise."""
    found = names_in(text)
    if not found or not all(word.isdecimal() and len(word) < 10 and 1 <= int(word) <= most for word in found):
        raise UnskipError(
            f"{option} {shortened(text)!r}: expected whole numbers of 1 or more, up to {most:,}, such as 1,8"
        )
    return tuple(dict.fromkeys(map(int, found)))


class _Table:
    """Measures group after group, and keeps what need not be done twice."""

    def __init__(
        self,
        targets: Sequence[Target],
        settings: BenchSettings,
        files: Files,
        accuracies: Accuracies,
        say: Callable[[str], None],
    ) -> None:
        self.forecasts = Forecasts()
        self._targets = targets
        self._settings = settings
        self._files = files
        self._accuracies = accuracies
        self._say = say

    def group(self, runtime_name: str, threads: int, batch_size: int) -> Group:
        runtime = find_runtime(runtime_name)
        files: dict[str, TimedFile] = {}
        failed: dict[str, UnskipError] = {}
        for target in self._targets:
            self._say(f"{target.label}: a file for {runtime.title}, batch {batch_size}")
            try:
                files[target.label] = self._files.file_for(target, runtime, batch_size)
            except UnskipError as error:
                failed[target.label] = error
        self._say(f"measuring in {runtime.title}: {_plural(threads, 'thread')}, batch {batch_size}")
        jobs = {
            target.label: Job(
                str(files[target.label].path), runtime_name, target.input_shape, threads, batch_size,
                self._settings.device,
            )
            for target in self._targets
            if target.label in files
        }  # fmt: skip
        measured: dict[str, Measurement | UnskipError] = {
            **failed,
            **measure_files(jobs, repeats=self._settings.repeats, processes=self._settings.processes),
        }
        cells = tuple(self._cell(target, files.get(target.label), measured, batch_size) for target in self._targets)
        return Group(
            runtime=runtime.version, threads=threads, batch_size=batch_size, device=self._settings.device, cells=cells
        )

    def _cell(
        self,
        target: Target,
        file: TimedFile | None,
        measured: Mapping[str, Measurement | UnskipError],
        batch_size: int,
    ) -> Cell:
        found = measured[target.label]
        if file is None or isinstance(found, UnskipError):
            return Cell(subject=target.label, refused=str(found))
        self._say(f"{target.label}: accuracy and memory")
        accuracy = self._accuracies.of(target, file.path, file.sha256)
        return Cell(
            subject=target.label,
            file=str(target.file or file.path.name),
            file_bytes=file.num_bytes,
            sha256=file.sha256,
            latency=_times(found.latency),
            ratio=_ratio(measured[self._targets[0].label], found),
            memory=self._memory(target, found, batch_size),
            accuracy=_accuracy(accuracy) if isinstance(accuracy, Score) else None,
            no_accuracy=accuracy if isinstance(accuracy, str) else None,
            parity=file.parity,
        )

    def _memory(self, target: Target, found: Measurement, batch_size: int) -> PeakMemory:
        timeline = self.forecasts.timeline(target)
        figures: dict[str, int | str | None] = {
            "forecast_bytes": timeline if isinstance(timeline, str) else batch_size * timeline.peak_bytes,
            "arena_bytes": self.forecasts.arena_bytes(target, batch_size),
            "resident_rise_bytes": _or(found.resident_rise_bytes, "this system does not tell"),
        }
        if self._settings.device != "cpu":
            figures["device_peak_bytes"] = _or(found.device_peak_bytes, "this runtime does not tell")
        known = {name: value for name, value in figures.items() if not isinstance(value, str)}
        unknown = {name: value for name, value in figures.items() if isinstance(value, str)}
        return PeakMemory.model_validate(known | {"unknown": unknown})


def _check(settings: BenchSettings) -> None:
    """Raise `UnskipError` for a runtime or a device that is not there, before anything takes time."""
    if not (settings.runtimes and settings.threads and settings.batch_sizes):
        raise UnskipError("name at least one runtime, one number of threads and one batch size")
    if min(*settings.threads, *settings.batch_sizes, settings.repeats, settings.processes) < 1:
        raise UnskipError("threads, batch sizes, rounds and processes are whole numbers of 1 or more")
    if settings.device not in ("cpu", "cuda"):
        raise UnskipError(f"no device {settings.device!r}{nearest(settings.device, ('cpu', 'cuda'))} (cpu or cuda)")
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise UnskipError("there is no CUDA device here that PyTorch sees; without --device cuda the CPU is measured")
    for name in settings.runtimes:
        runtime = find_runtime(name)
        runtime.require()
        if settings.device not in runtime.devices:
            raise UnskipError(
                f"{runtime.title} runs on {' and '.join(runtime.devices)} here, not on {settings.device}; "
                "leave it out of --runtime"
            )


def _check_fits(targets: Sequence[Target], settings: BenchSettings) -> None:
    """Raise `UnskipError` where the feature maps of a batch are more than this machine's memory."""
    forecasts, most = Forecasts(), max(settings.batch_sizes)
    for target in targets:
        timeline = forecasts.timeline(target)
        images = most * math.prod(target.input_shape) * 4
        peak = 0 if isinstance(timeline, str) else most * timeline.peak_bytes
        check_memory(max(images, peak), f"{target.label}: a batch of {most:,}", "lower --batch or --image-size")


def _load() -> Load:
    cores = os.cpu_count() or 1
    try:
        average = os.getloadavg()[0]
    except (AttributeError, OSError):  # not every system has one
        return Load(average=None, cores=cores, warning=None)
    busy = average > BUSY * cores
    warning = (
        f"other processes load this machine (load average {average:.1f} on {_plural(cores, 'core')}): latencies are "
        "longer and vary more than on an idle one; ratios suffer less"
    )
    return Load(average=average, cores=cores, warning=warning if busy else None)


def _notes(targets: Sequence[Target], settings: BenchSettings, cores: int) -> list[str]:
    notes = []
    shapes = {target.input_shape for target in targets}
    if len(shapes) > 1:
        said = ", ".join(f"{target.label} {'x'.join(map(str, target.input_shape))}" for target in targets)
        notes.append(f"The images differ in their shape, so the ratios compare different work: {said}.")
    if max(settings.threads) > cores:
        notes.append(f"{max(settings.threads)} threads share {_plural(cores, 'core')}.")
    return notes


def _times(latency: Latency) -> Times:
    return Times(
        median_ms=latency.median_ms,
        p10_ms=latency.low_ms,
        p90_ms=latency.high_ms,
        images_per_second=latency.images_per_second,
        samples_ms=latency.samples_ms,
    )


def _ratio(first: Measurement | UnskipError, this: Measurement) -> Ratio | None:
    """None where the first could not be measured, and for the first itself."""
    if isinstance(first, UnskipError) or first is this:
        return None
    found = speedup(first.latency, this.latency)
    return Ratio(median=found.median, p10=found.low, p90=found.high, difference_shown=found.shows_difference)


def _accuracy(score: Score) -> FileAccuracy:
    return FileAccuracy(top1=score.value, top5=score.figures.get("top5"), images=score.images)


def _or(value: int | None, reason: str) -> int | str:
    return reason if value is None else value


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'s' * (count != 1)}"
