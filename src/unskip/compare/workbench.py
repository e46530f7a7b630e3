"""The one place that exports, times and measures."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import chain, count, product
from pathlib import Path
from typing import Self

from unskip.compare.files import Exports
from unskip.compare.settings import Settings
from unskip.compare.targets import Target
from unskip.compare.test_sets import TestSet, TestSetOf
from unskip.compare.timing import Job, measure_files
from unskip.environment import describe_environment
from unskip.errors import UnskipError
from unskip.evaluation import evaluate_file
from unskip.measures import MeasuredFile, Timing, measures
from unskip.measures.base import DeployedFile
from unskip.nets import NetSpec, unopened_modules
from unskip.nets.within_memory import check_memory
from unskip.records import Cell, Comparison, Estimate, Figure, Group, Load, Subject, Timeline, speedup
from unskip.runtimes import Configuration, Estimator, Runtime, find_runtime
from unskip.surgery import residual_blocks
from unskip.tasks import Score


class Workbench:
    """Measures subjects side by side, in rounds if need be: what is exported or computed for a label is kept.

    ``exports`` says how networks become files, by default in a folder that goes with the block in which the workbench
    is opened. ``test_set`` gives what a target's answers are judged by, or the sentence that says why they are not;
    ``say`` is told what is being done; ``load`` is how busy the machine was before this process made it so. Raises
    `UnskipError` for settings that cannot be.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        exports: Exports | None = None,
        test_set: TestSetOf = lambda target: "the weights are random",
        say: Callable[[str], None] = lambda text: None,
        load: Load | None = None,
    ) -> None:
        self._load = load or machine_load()
        settings.check()
        self._settings = settings
        self._home = tempfile.TemporaryDirectory(prefix="unskip-")
        self._exports = exports or _exports_to(Path(self._home.name))
        self._test_set = test_set
        self._say = say
        self._measures = {name: each for name, each in measures().items() if each.quick or not settings.quick}
        self._scores: dict[tuple[str, TestSet], Score | str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._home.cleanup()

    def measure(self, targets: Sequence[Target], *, files: bool = True) -> Comparison:
        """Every target in every setting; what cannot be measured has its reason in its cell.

        Without ``files`` only the networks are measured, and the cells are empty. Targets of the same label are the
        same in every call. Raises `UnskipError` where the feature maps of a batch are more than this machine's memory.
        """
        started, settings = time.time(), self._settings
        self._check_fits(targets)
        group = self._group if files else self._without_files
        wanted = product(settings.runtimes, settings.threads, settings.batch_sizes)
        groups = (
            *(group(targets, find_runtime(name), threads, size) for name, threads, size in wanted),
            *(self._estimated(targets, device) for device in settings.devices),
        )
        subjects = tuple(map(self._subject, targets))
        present = {name for subject in subjects for name in subject.figures}
        present |= {name for group in groups for cell in group.cells for name in cell.figures}
        return Comparison(
            unskip=version("unskip"),
            started=datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
            seconds=time.time() - started,
            repeats=settings.repeats,
            processes=min(settings.processes, settings.repeats),
            load=self._load,
            measures={name: measure.about for name, measure in self._measures.items() if name in present},
            subjects=subjects,
            groups=groups,
            notes=tuple(_notes(targets, settings, self._load.cores)),
            environment=describe_environment(),
        )

    def _without_files(self, targets: Sequence[Target], runtime: Runtime, threads: int, batch_size: int) -> Group:
        return Group(
            runtime=runtime.version,
            threads=threads,
            batch_size=batch_size,
            device=self._settings.device,
            cells=tuple(Cell(subject=target.label) for target in targets),
        )

    def _group(self, targets: Sequence[Target], runtime: Runtime, threads: int, batch_size: int) -> Group:
        settings = self._settings
        files: dict[str, DeployedFile | UnskipError] = {}
        jobs: dict[str, Job] = {}
        for target in targets:
            self._say(f"{target.label}: a file for {runtime.title}, batch {batch_size}")
            try:
                files[target.label] = file = self._exports.file_for(target, runtime, batch_size, self._test_set)
            except UnskipError as error:
                files[target.label] = error
                continue
            jobs[target.label] = Job(
                str(file.path), runtime.name, target.input_shape, threads, batch_size, settings.device
            )
        timings: Mapping[str, Timing | UnskipError] = {}
        if settings.timed:
            self._say(f"timing in {runtime.title}: {_plural(threads, 'thread')}, batch {batch_size}")
            timings = measure_files(jobs, repeats=settings.repeats, processes=settings.processes)
        cells: list[Cell] = []
        for target in targets:
            exported, timing = files[target.label], timings.get(target.label)
            if isinstance(exported, UnskipError) or isinstance(timing, UnskipError):
                refused = exported if isinstance(exported, UnskipError) else timing
                cells.append(Cell(subject=target.label, refused=str(refused)))
            else:
                first = cells[0].figures.get("latency") if cells else None
                cells.append(self._cell(target, exported, timing, batch_size, first))
        return Group(
            runtime=runtime.version,
            threads=threads,
            batch_size=batch_size,
            device=settings.device,
            cells=tuple(cells),
        )

    def _estimated(self, targets: Sequence[Target], device: Configuration) -> Group:
        """What a device's compiler says of the targets' files for it, one image at a time."""
        runtime = find_runtime(device.runtime)
        assert isinstance(runtime, Estimator)
        cells: list[Cell] = []
        for target in targets:
            self._say(f"{target.label}: compiling for {device}")
            try:
                file = self._exports.file_for(target, runtime, 1, self._test_set, device)
                estimate = runtime.estimate(file.path)
            except UnskipError as error:
                cells.append(Cell(subject=target.label, refused=str(error)))
                continue
            cells.append(self._cell(target, file, None, 1, None, estimate))
        by = next((cell.estimate.by for cell in cells if cell.estimate), runtime.version)
        return Group(
            runtime=by,
            target=str(device),
            meanings=dict(runtime.meanings(device)),
            threads=1,
            batch_size=1,
            device="cpu",
            cells=tuple(cells),
        )

    def _cell(
        self,
        target: Target,
        file: DeployedFile,
        timing: Timing | None,
        batch_size: int,
        first: Figure | None,
        estimate: Estimate | None = None,
    ) -> Cell:
        self._say(f"{target.label}: answers and memory")
        measured = MeasuredFile(
            **vars(file),
            net=target,
            batch_size=batch_size,
            device=self._settings.device,
            timing=timing,
            score=self._score(target, file),
            estimate=estimate,
        )
        figures = _known({name: measure.of_file(measured) for name, measure in self._measures.items()})
        this = figures.get("latency")
        return Cell(
            subject=target.label,
            file=file.name,
            sha256=file.sha256,
            figures=figures,
            speedup=speedup(first, this) if first and this else None,
            estimate=estimate,
        )

    def _subject(self, target: Target) -> Subject:
        net, timeline = target.net, target.timeline
        spec = None if net is None else net.spec
        return Subject(
            label=target.label,
            kind=target.kind,
            net=spec and str(spec),
            source=spec and spec.source,
            depth=spec and _depth(spec),
            shortcuts=None if net is None else len(residual_blocks(net)),
            unopened=0 if net is None else len(unopened_modules(net)),
            precision=target.precision,
            input_shape=target.input_shape,
            memory=None if isinstance(timeline, str) else Timeline.model_validate(timeline, from_attributes=True),
            figures=_known({name: measure.of_net(target) for name, measure in self._measures.items()}),
        )

    def _score(self, target: Target, file: DeployedFile) -> Score | str:
        """What a file of that content does on the test images, in the runtime that it was written for."""
        tests = self._test_set(target)
        if isinstance(tests, str):
            return tests
        if (file.sha256, tests) not in self._scores:
            self._scores[file.sha256, tests] = _evaluated(file, tests)
        return self._scores[file.sha256, tests]

    def _check_fits(self, targets: Sequence[Target]) -> None:
        most = max(self._settings.batch_sizes)
        advice = "lower `batch` or `image_size`" if most > 1 else "lower `image_size`"
        for target in targets:
            timeline = target.timeline
            images = most * math.prod(target.input_shape) * 4
            peak = 0 if isinstance(timeline, str) else most * timeline.peak_bytes
            check_memory(max(images, peak), f"{target.label}: a batch of {most:,}", advice)


def _evaluated(file: DeployedFile, tests: TestSet) -> Score | str:
    data, task = tests.data, tests.task
    if file.normalizes:
        data, task = data.scaled(), task.scaled(data.mean, data.std)
    try:
        return evaluate_file(file.path, data.test_batches().epoch(0), task)
    except UnskipError as error:
        return str(error)


def _exports_to(folder: Path) -> Exports:
    """Files that go with the folder, each under a name of its own."""

    def place(label: str, batch_size: int, ending: str) -> Path:
        name = "".join(c if c.isalnum() or c in "-_." else "-" for c in Path(label).name)[:80]
        numbers = chain([""], (f"-{number}" for number in count(2)))
        places = (folder / f"{name}-{batch_size}{number}{ending}" for number in numbers)
        return next(place for place in places if not place.exists())

    return Exports(folder, place)


def machine_load() -> Load:
    """How busy this machine is, its load average; of a process that worked itself lately, it tells of that too."""
    cores = os.cpu_count() or 1
    try:
        return Load(average=os.getloadavg()[0], cores=cores)
    except (AttributeError, OSError):  # not every system has one
        return Load(average=None, cores=cores)


def _notes(targets: Sequence[Target], settings: Settings, cores: int) -> list[str]:
    notes = []
    if len({target.input_shape for target in targets}) > 1:
        shapes = ", ".join(f"{target.label} {'x'.join(map(str, target.input_shape))}" for target in targets)
        notes.append(f"The images differ in their shape, so the ratios compare different work: {shapes}.")
    if max(settings.threads) > cores:
        notes.append(f"{max(settings.threads)} threads share {_plural(cores, 'core')}.")
    return notes


def _depth(spec: NetSpec) -> tuple[int, ...] | None:
    """The blocks per stage of a sub-net; None for a network of all its blocks."""
    depths = [tuple(arguments["blocks"]) for name, arguments in spec.edits if name == "at_depth"]
    return depths[-1] if depths else None


def _known(figures: Mapping[str, Figure | None]) -> dict[str, Figure]:
    return {name: figure for name, figure in figures.items() if figure is not None}


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'s' * (count != 1)}"
