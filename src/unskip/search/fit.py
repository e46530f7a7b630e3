"""Which students of a network meet a budget, before any training."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from unskip.nets import StagedNet, unknown_shortcuts
from unskip.nets.shapes import light_copy
from unskip.nets.within_memory import check_memory
from unskip.runtimes import find_runtime
from unskip.search.budget import ELEMENTS, Budget
from unskip.search.recipes import command, file_name, method_for, recipe_tree, write_recipe
from unskip.search.students import Search, Student
from unskip.search.timing import Stopwatch, Timed, time_students

__all__ = ["Fit", "Line", "Verdict", "fit_budget", "unbeaten"]

Verdict = Literal["meets", "borderline", "too slow", "file too large", "not exported", "not timed", "too large"]
_ORDER: Sequence[Verdict] = get_args(Verdict)


@dataclass(frozen=True)
class Line:
    """A student, what it costs, and how it can be trained.

    ``verdict``: ``meets`` every limit, ``borderline`` where the spread of its latency covers one, or what is wrong.
    ``figures`` are the forecast ones, by the names that `Budget` has for their limits; ``timed`` is what its exported
    file gave. ``recipe`` is plain data as `recipe_from` takes it, ``file`` a name for it; the network itself has none.
    """

    student: Student
    figures: Mapping[str, int]
    verdict: Verdict
    timed: Timed | None
    method: str | None = None
    recipe: Mapping[str, Any] | None = None
    file: str = ""

    @property
    def is_usable(self) -> bool:
        """Whether it meets the budget or may do so."""
        return self.verdict in ("meets", "borderline")

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data for JSON."""
        timed = self.timed
        return {
            "student": str(self.student),
            "edits": [{name: dict(arguments)} for name, arguments in self.student.edits],
            "sub_net": self.student.sub_net,
            "shortcuts": self.student.shortcuts,
            **self.figures,
            "verdict": self.verdict,
            "latency_ms": timed and timed.latency and timed.latency.value,
            "latency_ratio": timed and timed.ratio and timed.ratio.model_dump(),
            "exported_file_bytes": timed and timed.file_bytes,
            "not_exported": (timed and timed.failure) or None,
            "method": self.method,
            "recipe": self.recipe,
            "command": self.recipe and command(self.recipe),
        }


@dataclass(frozen=True)
class Fit:
    """The answer to a budget.

    ``own`` is the network itself; ``lines`` are those shown, the ones that meet the budget first, and among these the
    one that changes least: that keeps the most MACs, then the most shortcuts, then the most parameters. ``searched``
    students were counted, ``within_forecast`` are within all limits of forecast figures, and ``thinned`` of these are
    left out because another one, made by no other kinds of edits, changes less and is no larger in any limited figure.
    ``num_usable`` meet the budget or are borderline, as far as is known. ``num_timed`` were exported and timed
    in ``runtime``, None where nothing was. ``smallest`` are the students with the smallest value of each limited figure
    that is forecast, ``nearest`` is the one that exceeds these limits least, ``fastest`` the one of those timed that
    takes the smallest share of the network's time. ``skipped`` counts edits that do not fit, by the reason. ``unknown``
    says of which modules nobody knows the shortcuts, since they could not be opened; it is empty where there are none.
    """

    name: str
    input_shape: tuple[int, int, int]
    budget: Budget
    own: Line
    lines: tuple[Line, ...]
    searched: int
    within_forecast: int
    thinned: int
    num_usable: int
    num_timed: int
    runtime: str | None
    threads: int
    smallest: Mapping[str, Line]
    nearest: Line
    fastest: Line | None
    skipped: Mapping[str, int]
    unknown: str

    @property
    def fits(self) -> bool:
        """Whether anything meets the budget, the network itself included, or may meet it: borderline counts."""
        return any(line.is_usable for line in (self.own, *self.lines))

    @property
    def best(self) -> Line | None:
        """The first line, if it meets the budget or is borderline."""
        first = self.lines[0] if self.lines else None
        return first if first and first.is_usable else None

    @property
    def near(self) -> tuple[Line, ...]:
        """The students that come nearest: to all limits that are forecast, to each of them, and the fastest."""
        lines = [self.nearest, *self.smallest.values(), *([self.fastest] if self.fastest else [])]
        return tuple({line.student: line for line in lines if line.student != self.own.student}.values())

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data for JSON; edits and recipes can stand in a file as they are."""
        return {
            "net": self.name,
            "input_shape": list(self.input_shape),
            "budget": {name: limit for name, limit in vars(self.budget).items() if limit is not None},
            "fits": self.fits,
            "own": self.own.to_json(),
            "lines": [line.to_json() for line in self.lines],
            "searched": self.searched,
            "within_forecast": self.within_forecast,
            "thinned": self.thinned,
            "usable": self.num_usable,
            "timed": self.num_timed,
            "runtime": self.runtime,
            "threads": self.threads,
            "smallest": {name: line.to_json() for name, line in self.smallest.items()},
            "nearest": self.nearest.to_json(),
            "fastest": self.fastest and self.fastest.to_json(),
            "skipped": dict(self.skipped),
            "unknown": self.unknown,
        }

    def write_recipes(self, folder: Path) -> list[Path]:
        """Write a recipe for every line that meets the budget or is borderline, one for sub-nets trained together."""
        remarks: dict[str, list[str]] = {}
        trees: dict[str, Mapping[str, Any]] = {}
        for line in self.lines:
            if line.recipe is not None and line.is_usable:
                trees[line.file] = line.recipe
                remarks.setdefault(line.file, ["From `unskip fit-budget`; run it with --data."])
                remarks[line.file].append(_remark(line))
        for name, tree in trees.items():
            write_recipe(folder / name, tree, remarks[name])
        return [folder / name for name in trees]


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
) -> Fit:
    """The students of a network that meet a budget, for one image of ``(channels, height, width)``; nothing is trained.

    Every figure but latency is counted; see `Search` for which students there are. Of those within all limits of
    counted figures, up to `MAX_TIMED` are exported as they are, untrained, and timed beside the network in ``runtime``
    unless ``latency`` is False. With a limit of latency only those that were timed are lines. ``limit`` is how many
    lines there are at most, ``weights`` a file with the network's weights for the recipes.

    Raises `UnskipError` for an image that does not fit, a network that torch.fx cannot trace, a runtime that is not
    installed.
    """
    assert net.spec is not None, "only a network with a spec can stand in a recipe"
    assert latency or not budget.limits_latency, "a limit of latency is measured"
    if latency:
        find_runtime(runtime).require()
    copied = light_copy(net, input_shape)
    assert isinstance(copied, StagedNet)
    size = ELEMENTS[budget.element]
    search = Search(copied, input_shape, progress)
    own = search.students[0]
    students = sorted(search.students, key=_change)
    within = [student for student in students if _exceeds(student, budget) <= 1]
    thin = unbeaten(within, budget)
    chosen = [student for student in thin if student is not own]
    timed: dict[Hashable, Timed] = {}
    version = None
    if latency and within:
        peak = own.figures(ELEMENTS["float32"])["peak_bytes"]
        check_memory(peak, f"an image for {net.spec}", "lower --image-size, or say --no-latency")
        with Stopwatch(net.spec, input_shape, runtime=runtime, threads=threads, progress=progress) as watch:
            version = watch.runtime
            alone = [student for student in chosen if not student.sub_net]
            timed = time_students(watch, alone if budget.limits_latency else alone[:limit], budget, own.macs)
            timed[own.structure] = watch.teacher

    def line(student: Student) -> Line:
        found = timed.get(student.structure)
        return Line(student, student.figures(size), _verdict(student, found, budget), found)

    lines = sorted(map(line, chosen), key=lambda found: _ORDER.index(found.verdict))
    shown = [found for found in lines if found.verdict != "not timed"][:limit]
    progress("choosing methods")
    return Fit(
        name=str(net.spec),
        input_shape=input_shape,
        budget=budget,
        own=line(own),
        lines=tuple(_with_recipes(shown, copied, input_shape, weights)),
        searched=len(students) - 1,
        within_forecast=sum(student is not own for student in within),
        thinned=len(within) - len(thin),
        num_usable=sum(found.is_usable for found in lines),
        num_timed=max(0, len(timed) - 1),
        runtime=version,
        threads=threads,
        smallest={
            name: line(min(students, key=lambda student: student.figures(size)[name])) for name in budget.forecast
        },
        nearest=line(min(students, key=lambda student: _exceeds(student, budget))),
        fastest=_fastest(lines),
        skipped=search.skipped,
        unknown=unknown_shortcuts(net),
    )


def unbeaten(students: Sequence[Student], budget: Budget) -> list[Student]:
    """The students, the least changed first, without those that another one beats.

    It beats one that changes more, by no fewer kinds of edits, and has no limited figure that is smaller. Of latency,
    which nobody forecasts, only as much is known: with no fewer MACs and shortcuts a student will hardly be faster.
    """
    kept: list[tuple[Student, list[int]]] = []
    for student in sorted(students, key=_change):
        figures = _limited(student, budget)
        if not any(
            other.kinds <= student.kinds
            and (other.sub_net == student.sub_net or other.depth is None)
            and all(theirs <= own for theirs, own in zip(limited, figures, strict=True))
            for other, limited in kept
        ):
            kept.append((student, figures))
    return [student for student, _ in kept]


def _change(student: Student) -> tuple[int, ...]:
    """The order of students, the least changed first; the network itself is the first of all."""
    return -student.macs, -student.shortcuts, -student.parameters, len(student.edits), student.sub_net


def _exceeds(student: Student, budget: Budget) -> float:
    """The largest ratio of a forecast figure to its limit; 0 without limits."""
    figures = student.figures(ELEMENTS[budget.element])
    return max((figures[name] / limit for name, limit in budget.forecast.items()), default=0.0)


def _limited(student: Student, budget: Budget) -> list[int]:
    figures = student.figures(ELEMENTS[budget.element])
    latency = [student.macs, student.shortcuts] if budget.limits_latency else []
    return [*(figures[name] for name in budget.forecast), *latency]


def _verdict(student: Student, timed: Timed | None, budget: Budget) -> Verdict:
    if _exceeds(student, budget) > 1:
        return "too large"
    if timed is None:
        return "not timed" if budget.limits_latency else "meets"
    if timed.latency is None or timed.ratio is None or timed.file_bytes is None:
        return "not exported"
    # The file that was timed has float32 weights; of another element only the forecast is known.
    if budget.file_bytes is not None and budget.element == "float32" and timed.file_bytes > budget.file_bytes:
        return "file too large"
    spreads = []
    if budget.latency_ratio is not None:
        spreads.append((timed.ratio.low, timed.ratio.high, budget.latency_ratio))
    if budget.latency_ms is not None:
        low, high = timed.latency.low, timed.latency.high
        assert low is not None
        assert high is not None
        spreads.append((low, high, budget.latency_ms))
    if any(low > limit for low, _, limit in spreads):
        return "too slow"
    return "borderline" if any(high > limit for _, high, limit in spreads) else "meets"


def _fastest(lines: Sequence[Line]) -> Line | None:
    """The line with the smallest latency ratio of those that were timed."""
    ratios = [(line.timed.ratio.median, line) for line in lines if line.timed and line.timed.ratio]
    return min(ratios, key=lambda pair: pair[0], default=(0.0, None))[1]


def _with_recipes(
    lines: Sequence[Line], teacher: StagedNet, input_shape: tuple[int, int, int], weights: Path | None
) -> Iterator[Line]:
    """The lines, each with its method and its recipe."""
    assert teacher.spec is not None
    for line in lines:
        student = line.student
        depths = [
            other.student.depth
            for other in lines
            if other.student.sub_net
            and other.student.depth is not None
            and other.student.whole_edits == student.whole_edits
            and (other is line or other.is_usable)
        ]
        method = method_for(teacher, student)
        tree = recipe_tree(teacher.spec, student, method, image_size=input_shape[1:], depths=depths, weights=weights)
        yield replace(line, method=method, recipe=tree, file=file_name(teacher.spec, student))


def _remark(line: Line) -> str:
    """What a recipe's file says about a line."""
    figures = line.figures
    return (
        f"{line.student}: peak of live feature maps {figures['peak_bytes']:,} bytes, {figures['parameters']:,} "
        f"parameters, {figures['macs']:,} MACs"
    )
