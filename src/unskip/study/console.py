"""What the terminal shows of a study that begins, and of one that goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Column, Table

from unskip.study.cells import Cell
from unskip.study.engines import Engine
from unskip.study.folder import StudyFolder
from unskip.study.plan import Plan, kinds_of
from unskip.study.reading import Study
from unskip.units import duration


def show_plan(study: Study, plan: Plan, cells: Sequence[Cell], engine: Engine, out: Console) -> None:
    """How many runs and trainings there are, which of them are shared or done, and how long the others take."""
    _say(out, f"{study.form.title}{' (quick)' if study.quick else ''}")
    if study.reduced:
        _say(out, f"reduced: {study.reduced}")
    seeds = sorted({cell.seed for cell in cells})
    states = {"done": "done", "running": "running", "failed": "failed before", "begun": "begun"}
    told = [f"{plan.states[state]} {words}" for state, words in states.items() if plan.states[state]]
    of_seeds = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
    _say(out, f"{_count(len(cells), 'run')}, {of_seeds}{''.join(f'; {each}' for each in told)}")
    table = Table(
        "training", *(Column(name, justify="right") for name in ("number", "for runs", "done", "time")), box=None
    )
    for label, trainings in kinds_of(plan):
        left = [training for training in trainings if training.share_done < 1]
        times = [training.seconds for training in left]
        time = "" if None in times or not left else duration(sum(each for each in times if each is not None))
        runs = sum(training.users for training in trainings)
        table.add_row(label, str(len(trainings)), str(runs), str(len(trainings) - len(left)), time)
    out.print(table)
    for problem in dict.fromkeys(training.problem for training in plan.left if training.problem):
        _say(out, f"no time is known of {problem}")
    _say(out, _time_in_words(plan, engine))


def _time_in_words(plan: Plan, engine: Engine) -> str:
    if not plan.left:
        return "nothing is left to train"
    jobs = min(engine.capacity, len({training.cell.folder for training in plan.left}))
    seconds = plan.seconds_with(jobs if engine.measures_here else 1)
    if seconds is None:
        return f"{_count(len(plan.left), 'training')} left"
    at_once = f"with {_count(jobs, 'run')} at once" if engine.measures_here else "one after the other"
    return (
        f"about {duration(seconds)} of training {at_once}, by a few steps of each kind on this machine as it is now; "
        "exporting and measuring come on top"
    )


class Progress:
    """A line for each cell as it ends, with the time that is left."""

    def __init__(
        self,
        plan: Plan,
        cells: Sequence[Cell],
        folder: StudyFolder,
        engine: Engine,
        out: Console,
        measured: Callable[[int, int], None] = lambda done, of: None,
    ) -> None:
        self._left = {cell.folder: plan.seconds_of(cell) for cell in cells if folder.state(cell) != "done"}
        self._of = len(self._left)
        self._engine = engine
        self._out = out
        self._say_done = measured
        self._began = time.monotonic()
        self._took: list[tuple[float, float | None]] = []  # seconds, and those that were expected

    def ended(self, cell: Cell, why: str, seconds: float) -> None:
        """Say that a cell has ended, and why it failed."""
        self._took.append((seconds, self._left.pop(cell.folder, None)))
        self._say_done(self._of - len(self._left), self._of)
        number = f"[{self._of - len(self._left)}/{self._of}]"
        name = f"{cell.label}, seed {cell.seed}"
        if why:
            _say(self._out, f"{number} {name}: failed: {why}")
        else:
            _say(self._out, f"{number} {name}: {duration(seconds)}{self._remaining()}")

    def lost(self, cell: Cell) -> None:
        """Say that a cell's worker was killed."""
        _say(self._out, f"{cell.label}, seed {cell.seed}: its worker was lost; started again")

    def _remaining(self) -> str:
        if not self._left:
            return ""
        if not self._engine.measures_here:  # by the pace, since a queue decides it too
            pace = (time.monotonic() - self._began) / len(self._took)
            return f"; about {duration(len(self._left) * pace)} left"
        at_once = min(self._engine.capacity, len(self._left))
        known = [(took, expected) for took, expected in self._took if expected]
        if known and None not in self._left.values():
            ratio = sum(took for took, _ in known) / sum(expected or 0.0 for _, expected in known)
            seconds = ratio * sum(each or 0.0 for each in self._left.values())
        else:
            seconds = len(self._left) * sum(took for took, _ in self._took) / len(self._took)
        return f"; about {duration(seconds / at_once)} left"


def _say(out: Console, text: str) -> None:
    out.print(text, highlight=False, markup=False, soft_wrap=True)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
