"""Which students of a network meet a budget, before any training."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import get_args

from unskip.compare import Settings, Workbench, machine_load
from unskip.errors import UnskipError
from unskip.measures import Measure, MeasuredNet, limits, measures
from unskip.nets import StagedNet, unknown_shortcuts
from unskip.records import About, Cell, Figure
from unskip.runtimes import find_runtime
from unskip.search.answer import BudgetAnswer, Candidate, Verdict
from unskip.search.budget import Budget
from unskip.search.measuring import StudentBench, measure_students, share_used
from unskip.search.recipes import file_name, recipe_tree
from unskip.search.students import Student, StudentSearch
from unskip.surgery import edited

_ORDER: Sequence[Verdict] = get_args(Verdict)


class Counting:
    """What can be said of students without a file: the figures that students have, and those of measures of networks.

    ``most`` are the limits of such figures, ``most_measured`` those that only a file tells.
    """

    def __init__(self, net: StagedNet, input_shape: tuple[int, int, int], budget: Budget, own: Student) -> None:
        self.budget = budget
        self._net = net
        self._shape = input_shape
        self.figures = cache(self._figures)
        every, quick = measures(), own.figures(budget.bytes_per_element)
        limited = [every[name] for name in budget.most if name in every and name not in quick]
        self._by_net = [measure for measure in limited if self._of_net(measure, own)]
        counted = {*quick, *(measure.name for measure in self._by_net)}
        self.most = {name: limit for name, limit in budget.most.items() if name in counted}
        self.most_measured = {name: limit for name, limit in budget.most.items() if name not in counted}

    def share_used(self, student: Student) -> float:
        """The largest ratio of a figure to its limit; 0 without limits of such figures."""
        figures = self.figures(student)
        return max((figures[name] / limit for name, limit in self.most.items()), default=0.0)

    def limited(self, student: Student) -> list[float]:
        """The limited figures; of a measured one only that it is hardly lower with no fewer MACs and shortcuts."""
        figures = self.figures(student)
        unknown = [student.macs, student.shortcuts] if self.most_measured else []
        return [*(figures[name] for name in self.most), *unknown]

    def _figures(self, student: Student) -> dict[str, float]:
        """What is counted of a student, by measure."""
        by_net = {measure.name: self._of_net(measure, student) for measure in self._by_net}
        return student.figures(self.budget.bytes_per_element) | by_net

    def _of_net(self, measure: Measure, student: Student) -> float:
        net = edited(self._net, student.edits, seed=0)
        figure = measure.of_net(MeasuredNet(net, self._shape, self.budget.element)) or Figure()
        return figure.value or 0.0


def fit_budget(
    net: StagedNet,
    input_shape: tuple[int, int, int],
    budget: Budget,
    *,
    limit: int | None = 10,
    latency: bool = True,
    runtime: str = "onnxruntime",
    threads: int = 1,
    weights: Path | None = None,
    progress: Callable[[str], None] = lambda said: None,
) -> BudgetAnswer:
    """The students of a network that meet a budget, for one image of ``(channels, height, width)``; nothing is trained.

    What networks tell is counted; see `StudentSearch` for which students there are. Of those within all limits of that,
    up to `MAX_MEASURED` are exported as they are, untrained, and measured beside the network in ``runtime`` unless
    ``latency`` is False. With a limit of what only a file tells, only those that were measured are candidates.
    ``limit`` is how many candidates there are at most, ``weights`` a file with the network's weights for the recipes.

    Raises `UnskipError` for an image that does not fit, a network that torch.fx cannot trace, a runtime that is not
    installed, and a limit of what is not measured.
    """
    assert net.spec is not None, "only a network with a spec can stand in a recipe"
    if latency:
        find_runtime(runtime).require()
    load = machine_load()  # before the search makes some itself
    search = StudentSearch(net, input_shape, progress)
    own = search.students[0]
    counting = Counting(search.net, input_shape, budget, own)
    if counting.most_measured and not latency:
        raise UnskipError("`no_latency` and a limit of latency exclude each other: latency is measured, not forecast")
    students = sorted(search.students, key=_change)
    within = [student for student in students if counting.share_used(student) <= 1]
    thin = unbeaten(within, counting)
    chosen = [student for student in thin if student is not own]
    files: dict[Hashable, Cell] = {}
    bench = None
    if latency and within:
        slow = any(not measures()[name].quick for name in counting.most_measured if name in measures())
        with Workbench(Settings((runtime,), (threads,), quick=not slow), say=progress, load=load) as workbench:
            bench = StudentBench(workbench, net.spec, input_shape)
            alone = [student for student in chosen if not student.sub_net]
            measured = alone if counting.most_measured else alone[:limit]
            files = measure_students(bench.measure, measured, bench.own, counting.most_measured, own.macs)
            files[own.structure] = bench.own

    def candidate(student: Student) -> Candidate:
        return judged(student, files.get(student.structure), counting)

    candidates = sorted(map(candidate, chosen), key=lambda each: _ORDER.index(each.verdict))
    shown = [each for each in candidates if each.verdict != "not measured"][:limit]
    most_measured = counting.most_measured
    measured_ones = [each for each in candidates if most_measured.keys() & each.figures.keys()]
    progress("choosing methods")
    return BudgetAnswer(
        net=str(net.spec),
        input_shape=input_shape,
        budget=budget,
        own=candidate(own),
        candidates=tuple(_with_recipes(shown, search.net, input_shape, weights)),
        num_searched=len(students) - 1,
        num_within=sum(student is not own for student in within),
        num_thinned=len(within) - len(thin),
        num_usable=sum(each.is_usable for each in candidates),
        num_measured=max(0, len(files) - 1),
        runtime=bench.runtime if bench else None,
        threads=threads,
        load=bench.load if bench else None,
        smallest={
            name: candidate(min(students, key=lambda student: counting.figures(student)[name]))
            for name in counting.most
        },
        nearest=candidate(min(students, key=counting.share_used)),
        nearest_measured=min(measured_ones, key=lambda each: share_used(each.figures, most_measured), default=None),
        measures=_measures({*counting.figures(own), *(bench.own.figures if bench else ())}, budget),
        skipped=search.skipped,
        unknown=unknown_shortcuts(net),
    )


def unbeaten(students: Sequence[Student], counting: Counting) -> list[Student]:
    """The students, the least changed first, without those that another one beats.

    It beats one that changes more, by no fewer kinds of edits, and has no limited figure that is smaller.
    """
    kept: list[tuple[Student, list[float]]] = []
    for student in sorted(students, key=_change):
        figures = counting.limited(student)
        if not any(
            other.kinds <= student.kinds
            and (other.sub_net == student.sub_net or other.depth is None)
            and all(theirs <= own for theirs, own in zip(limited, figures, strict=True))
            for other, limited in kept
        ):
            kept.append((student, figures))
    return [student for student, _ in kept]


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


def _change(student: Student) -> tuple[int, ...]:
    """The order of students, the least changed first; the network itself is the first of all."""
    return -student.macs, -student.shortcuts, -student.parameters, len(student.edits), student.sub_net


def _measures(names: Collection[str], budget: Budget) -> Mapping[str, About]:
    """What the figures are, in the order of a table's columns, relative ones behind those that they compare."""
    abouts = {}
    for measure, limit in limits().values():
        if measure.kind == "file" and measure.name not in budget.most:
            continue
        if measure.name in names:
            abouts[measure.name] = measure.about
        if limit.relative and limit.name in names:
            update = {"title": f"{measure.title} ratio", "unit": "", "definition": limit.help}
            abouts[limit.name] = measure.about.model_copy(update=update)
    return abouts


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
        tree = recipe_tree(teacher, student, image_size=input_shape[1:], depths=depths, weights=weights)
        yield replace(candidate, recipe=tree, file=file_name(teacher.spec, student))
