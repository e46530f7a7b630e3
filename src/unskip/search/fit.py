"""Which students of a network meet a budget, before any training."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from unskip.compare import Settings, Workbench, machine_load
from unskip.errors import UnskipError
from unskip.measures import DeviceMeasure, Measure, measures
from unskip.nets import StagedNet, unknown_shortcuts
from unskip.records import About, Cell, Figure
from unskip.runtimes import Configuration, find_runtime
from unskip.search.answer import BudgetAnswer, Candidate, Verdict
from unskip.search.budget import Budget
from unskip.search.choosing import Forecast, compile_students
from unskip.search.compiling import Compiled
from unskip.search.counting import Counting
from unskip.search.measuring import StudentBench, about_ratio, measure_students, share_used
from unskip.search.on_device import MAX_COMPILED, DeviceBench, check_limits, with_sram_of
from unskip.search.recipes import MY_WEIGHTS, command, file_name, recipe_tree
from unskip.search.student import Student
from unskip.search.students import StudentSearch
from unskip.search.would_meet import WouldMeet, compiled_would_meet, counted_would_meet

_ORDER: Sequence[Verdict] = get_args(Verdict)


def fit_budget(
    net: StagedNet,
    input_shape: tuple[int, int, int],
    budget: Budget,
    *,
    limit: int | None = 10,
    latency: bool = True,
    runtime: str = "onnxruntime",
    threads: int = 1,
    device: Configuration | None = None,
    compiles: int = MAX_COMPILED,
    weights: str | Path | None = None,
    progress: Callable[[str], None] = lambda words: None,
    compiled: Compiled = lambda done, of: None,
    until: Callable[[], bool] = lambda: False,
    recipes: bool = True,
) -> BudgetAnswer:
    """The students of a network that meet a budget, for one image of ``(channels, height, width)``; nothing is trained.

    What networks tell is counted; see `StudentSearch` for which students there are. Of those within all limits of that,
    up to `MAX_MEASURED` are exported as they are, untrained, and measured beside the network in ``runtime`` unless
    ``latency`` is False. With a ``device``, which is not here, nothing is timed: up to ``compiles`` of them are
    compiled for it, see `compile_students`, and ``compiled`` is told how many of how many; once ``until`` says so, no
    more are. A limit of SRAM is told to
    the device's compiler, where it takes one. With a limit of what only a file tells, only those that were measured are
    candidates. ``limit`` is how many candidates there are at most, ``weights`` a file with the network's weights for
    the ``recipes``, which take time, and are left out without them.

    Raises `UnskipError` for an image that does not fit, a network that torch.fx cannot trace or the device cannot run,
    a runtime that is not installed, and a limit of what is not measured.
    """
    assert net.spec is not None, "only a network with a spec can stand in a recipe"
    check_limits(budget, device)
    if device is not None:
        device = with_sram_of(budget, device)
    elif latency:
        find_runtime(runtime).require()
    load = machine_load()  # before the search makes some itself
    search = StudentSearch(net, input_shape, progress, any_stages=device is not None)
    own = search.students[0]
    counting = Counting(search.net, input_shape, budget, own)
    if counting.most_measured and not latency and device is None:
        raise UnskipError("`no_latency` and a limit of latency exclude each other: latency is measured, not forecast")
    students = sorted(search.students, key=lambda student: student.change)
    within = [student for student in students if counting.share_used(student) <= 1]
    thin = unbeaten(within, counting)
    chosen = [student for student in thin if student is not own]
    alone = [student for student in chosen if not student.sub_net]
    files: dict[Hashable, Cell] = {}
    bench: StudentBench | DeviceBench | None = None
    if device is not None and within:
        progress(f"compiling for {device.target}")
        bench = DeviceBench(net.spec, input_shape, device, most=min(compiles, len(alone)), compiled=compiled)
        bench.check(counting.most_measured)
        forecast = Forecast(search.net, input_shape, device)
        files = compile_students(
            bench.measure, alone, (own, bench.own), counting.most_measured, forecast, at_most=compiles, until=until
        )
    elif latency and within:
        slow = any(not measures()[name].quick for name in counting.most_measured if name in measures())
        with Workbench(Settings((runtime,), (threads,), quick=not slow), say=progress, load=load) as workbench:
            bench = StudentBench(workbench, net.spec, input_shape)
            measured = alone if counting.most_measured else alone[:limit]
            files = measure_students(bench.measure, measured, bench.own, counting.most_measured, own.macs)
    num_measured = len(files)
    if bench is not None:
        files[own.structure] = bench.own

    def candidate(student: Student) -> Candidate:
        return judged(student, files.get(student.structure), counting)

    candidates = sorted(map(candidate, chosen), key=lambda each: _ORDER.index(each.verdict))
    shown = [each for each in candidates if each.verdict != "not measured"][:limit]
    most_measured = counting.most_measured
    measured_ones = [each for each in candidates if most_measured.keys() & each.figures.keys()]
    if recipes:
        progress("choosing methods")
        shown = list(_with_recipes(shown, search.net, input_shape, None if weights is None else Path(weights)))
    answer = BudgetAnswer(
        net=str(net.spec),
        input_shape=input_shape,
        budget=budget,
        own=candidate(own),
        candidates=tuple(shown),
        num_searched=len(students) - 1,
        num_within=sum(student is not own for student in within),
        num_thinned=len(within) - len(thin),
        num_usable=sum(each.is_usable for each in candidates),
        num_measured=num_measured,
        num_left=len({student.structure for student in alone}) - num_measured if bench else 0,
        runtime=bench.runtime if bench else None,
        threads=threads,
        device=device,
        load=bench.load if bench else None,
        smallest={
            name: candidate(min(students, key=lambda student: counting.figures(student)[name]))
            for name in counting.most
        },
        nearest=candidate(min(students, key=counting.share_used)),
        nearest_measured=min(measured_ones, key=lambda each: share_used(each.figures, most_measured), default=None),
        measures=_measures({*counting.figures(own), *(bench.own.figures if bench else ())}, budget, device),
        skipped=search.skipped,
        unknown=unknown_shortcuts(net),
    )
    if answer.fits:
        return answer
    met: Iterator[WouldMeet] = iter(())
    if not most_measured:
        met = counted_would_meet(search.net, input_shape, budget, search, progress)
    elif isinstance(bench, DeviceBench) and answer.nearest_measured is not None and device is not None:
        student = answer.nearest_measured.student
        met = compiled_would_meet(net.spec, input_shape, budget, student, device, bench.estimate)
    return replace(answer, would_meet=tuple(met))


def unbeaten(students: Sequence[Student], counting: Counting) -> list[Student]:
    """The students, the least changed first, without those that another one beats.

    It beats one that changes more, by no fewer kinds of edits, and has no limited figure that is smaller.
    """
    best: list[tuple[Student, list[float]]] = []
    for student in sorted(students, key=lambda student: student.change):
        figures = counting.limited(student)
        if not any(
            other.kinds <= student.kinds
            and (other.sub_net == student.sub_net or other.depth is None)
            and all(theirs <= own for theirs, own in zip(limited, figures, strict=True))
            for other, limited in best
        ):
            best.append((student, figures))
    return [student for student, _ in best]


def judged(student: Student, file: Cell | None, counting: Counting) -> Candidate:
    """A student with its figures and the verdict; ``file`` is None where it was not measured."""
    figures = {name: Figure(value=value) for name, value in counting.figures(student).items()}
    of_file = file.figures if file else {}
    # The file has float32 weights: of another element only the forecast is known.
    figures = figures | of_file if counting.budget.element == "float32" else of_file | figures
    used = {name: share_used(figures, {name: limit}) for name, limit in counting.budget.most.items()}
    exceeded = tuple(name for name, (low, _) in used.items() if low > 1)
    refused = (file.refused if file else None) or ""
    verdict: Verdict = "meets"
    if counting.share_used(student) > 1:
        verdict = "exceeds"
    elif file is None:
        verdict = "not measured" if counting.most_measured else "meets"
    elif refused or not counting.most_measured.keys() <= figures.keys():
        verdict = "not exported"
    elif exceeded:
        verdict = "exceeds"
    elif any(high > 1 for _, high in used.values()):
        verdict = "borderline"
    return Candidate(student, figures, verdict, exceeded, refused)


def _measures(names: Collection[str], budget: Budget, device: Configuration | None) -> Mapping[str, About]:
    """What the figures are, in the order of a table's columns, relative ones behind those that they compare."""
    abouts = {}
    for measure in measures().values():
        if measure.name in names and (measure.name in budget.most or _is_shown(measure, device)):
            abouts[measure.name] = measure.about
        for limit in measure.limits:
            if limit.relative and limit.name in names:
                abouts[limit.name] = about_ratio(measure, limit)
    return abouts


def _is_shown(measure: Measure, device: Configuration | None) -> bool:
    """Whether a measure has a column although nothing limits it."""
    if isinstance(measure, DeviceMeasure):
        return measure.headline
    return bool(measure.limits) and measure.kind != "file" and (device is None or measure.kind == "size")


def _with_recipes(
    candidates: Sequence[Candidate], teacher: StagedNet, input_shape: tuple[int, int, int], weights: Path | None
) -> Iterator[Candidate]:
    """The candidates, each with its method and its recipe."""
    assert teacher.spec is not None
    for candidate in candidates:
        student = candidate.student
        depths = [
            other.student.depth
            for other in candidates
            if other.student.sub_net
            and other.student.depth is not None
            and other.student.whole_edits == student.whole_edits
            and (other is candidate or other.is_usable)
        ]
        tree, trained = (
            recipe_tree(teacher, student, image_size=input_shape[1:], depths=depths, weights=file)
            for file in (weights, weights or MY_WEIGHTS)
        )
        yield replace(candidate, recipe=tree, file=file_name(teacher.spec, student), command=command(trained))
