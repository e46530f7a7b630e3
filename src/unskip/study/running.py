"""Carrying out a study: cells go to an engine as soon as what they need is there, and each is run once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unskip.recipe import digest
from unskip.run_plan import trains_teacher
from unskip.study.cells import Cell
from unskip.study.engines import Engine
from unskip.study.folder import StudyFolder
from unskip.study.readings import made_of
from unskip.study.task import HELD, Task, last_words

_BETWEEN = 1.0  # seconds between looks at what waits for a teacher
_MOST_LOSSES = 3  # of a cell's worker, one after the other, without an epoch between them


@dataclass
class Outcome:
    """How cells ended in this call: those that are done, and those that are not, with the reason."""

    finished: list[Cell] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Launch:
    """How cells are started: ``launch`` in the place of Python, modules that are allowed, the folder to be in."""

    launch: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    place: Path = field(default_factory=Path.cwd)


def teacher_key(cell: Cell) -> str | None:
    """What cells that share a teacher have in common; None where a cell trains none."""
    return digest(made_of(cell.recipe, "teacher")) if trains_teacher(cell.recipe) else None


def carry_out_all(
    cells: Sequence[Cell],
    folder: StudyFolder,
    engine: Engine,
    launch: Launch,
    *,
    ended: Callable[[Cell, str, float], None],
    lost: Callable[[Cell], None],
) -> Outcome:
    """Run the cells that are not done; what fails is kept with its reason, and the others go on.

    ``ended`` is told a cell that has, its failure or nothing, and the seconds that it took in this call; ``lost`` a
    cell whose worker was killed, and which is started again.
    """
    return _Running(cells, folder, engine, launch, ended, lost).carry_out()


class _Running:
    def __init__(
        self,
        cells: Sequence[Cell],
        folder: StudyFolder,
        engine: Engine,
        launch: Launch,
        ended: Callable[[Cell, str, float], None],
        lost: Callable[[Cell], None],
    ) -> None:
        self._cells: Mapping[str, Cell] = {cell.folder: cell for cell in cells}
        self._folder = folder
        self._engine = engine
        self._launch = launch
        self._say_ended = ended
        self._say_lost = lost
        self._teachers = {cell.folder: teacher_key(cell) for cell in cells}
        self._trained = {self._teachers[cell.folder] for cell in cells if folder.has_teacher(cell)}  # teachers
        self._waiting = [cell for cell in cells if folder.state(cell) != "done"]
        self._running: dict[str, tuple[Cell, float]] = {}
        self._losses: dict[str, tuple[int, int]] = {}  # how many, and the epochs at the last one
        self._outcome = Outcome()

    def carry_out(self) -> Outcome:
        tasks = {cell.folder: self._task(cell) for cell in self._waiting}
        for task in self._engine.found_again(tasks.values()):
            self._started(self._cells[task.name])
        while self._waiting or self._running:
            self._pass_over_what_cannot_start()
            for cell in self._ready(self._engine.capacity - len(self._running)):
                self._folder.begin(cell)
                self._engine.start(tasks[cell.folder])
                self._started(cell)
            for task, code in self._engine.ended(_BETWEEN):
                self._end(task, code)
        return self._outcome

    def _started(self, cell: Cell) -> None:
        self._waiting.remove(cell)
        self._running[cell.folder] = cell, time.monotonic()

    def _task(self, cell: Cell) -> Task:
        name = Path(cell.folder).name
        return Task(
            name=cell.folder,
            recipe=(self._folder.logs / f"{name}.yaml").absolute(),
            folder=self._folder.run(cell).path.absolute(),
            log=self._folder.log(cell).absolute(),
            place=self._launch.place,
            allowed=self._launch.allowed,
            launch=self._launch.launch,
        )

    def _ready(self, room: int) -> list[Cell]:
        """The first cells whose runs before them are done and whose teacher is there, or which are to train it.

        A teacher that an interrupted cell has begun is for that cell to go on with.
        """
        running = [
            cell for cell, _ in self._running.values() if self._teachers[cell.folder] not in {None, *self._trained}
        ]
        self._trained |= {self._teachers[cell.folder] for cell in running if self._folder.has_teacher(cell)}
        training = {self._teachers[cell.folder]: cell.folder for cell in running}
        for cell in self._waiting:
            if self._folder.has_begun_teacher(cell):
                training.setdefault(self._teachers[cell.folder], cell.folder)
        ready: list[Cell] = []
        for cell in self._waiting:
            if len(ready) >= room:
                break
            key = self._teachers[cell.folder]
            is_trained_elsewhere = key not in self._trained and training.get(key, cell.folder) != cell.folder
            if is_trained_elsewhere or not all(self._is_done(need) for need in cell.needs):
                continue
            if self._folder.is_held(cell):  # by what is left of an earlier call
                continue
            ready.append(cell)
            if key is not None:
                training.setdefault(key, cell.folder)
        return ready

    def _is_done(self, need: str) -> bool:
        return (self._folder.path / need / "run.json").is_file()

    def _pass_over_what_cannot_start(self) -> None:
        """Cells that somebody else has finished are done; those that start from a run that has failed fail with it."""
        for cell in list(self._waiting):
            if self._is_done(cell.folder):
                self._waiting.remove(cell)
                continue
            broken = [need for need in cell.needs if need in self._outcome.failed]
            if broken:
                self._waiting.remove(cell)
                self._fail(cell, f"it starts from {broken[0]}, which failed: {self._outcome.failed[broken[0]]}", 0.0)

    def _end(self, task: Task, code: int | None) -> None:
        cell, began = self._running.pop(task.name)
        seconds = time.monotonic() - began
        if self._is_done(cell.folder):
            self._outcome.finished.append(cell)
            self._say_ended(cell, "", seconds)
        elif code in (None, HELD) and self._may_try_again(cell):
            self._say_lost(cell)
            self._waiting.insert(0, cell)
        elif code in (None, HELD):
            self._fail(
                cell, f"its worker was lost {_MOST_LOSSES} times without an epoch between; see {task.log}", seconds
            )
        else:
            self._fail(cell, last_words(task, code), seconds)

    def _may_try_again(self, cell: Cell) -> bool:
        losses, epochs = self._losses.get(cell.folder, (0, 0))
        now = self._folder.progress(cell)
        losses = 1 if now > epochs else losses + 1
        self._losses[cell.folder] = losses, now
        return losses < _MOST_LOSSES

    def _fail(self, cell: Cell, why: str, seconds: float) -> None:
        self._outcome.failed[cell.folder] = why
        self._folder.fail(cell, why)
        self._say_ended(cell, why, seconds)
