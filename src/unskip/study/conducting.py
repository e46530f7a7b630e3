"""From a study to its folder: the plan, the runs, the record, the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from unskip.files import write_json
from unskip.records import Study as Record
from unskip.report.studies import write_study
from unskip.run_folder import only_process
from unskip.study.cells import Cell, Cells, cells_of, chosen
from unskip.study.console import Progress, show_plan
from unskip.study.datasets import DataSets
from unskip.study.engines import Engine
from unskip.study.folder import StudyFolder
from unskip.study.plan import Measured, Plan, measure, plan_study
from unskip.study.reading import Study
from unskip.study.readings import readings_of
from unskip.study.results import results_of
from unskip.study.running import Launch, Outcome, carry_out_all


@dataclass(frozen=True)
class PreparedStudy:
    """A study whose cells are made and checked: all of them, and those that are asked for."""

    study: Study
    folder: StudyFolder
    cells: Cells
    chosen: tuple[Cell, ...]


def prepare(
    study: Study, folder: Path, *, seeds: Sequence[int], data: Sequence[str] = (), only: Sequence[str] = ()
) -> PreparedStudy:
    """The cells of a study in its folder; nothing is written.

    Raises `UnskipError` for every mistake in the study, for a folder of another one, and for runs there that were made
    with other recipes.
    """
    home = StudyFolder(folder)
    home.check(study)
    cells = cells_of(study, seeds, folder, DataSets(data))
    readings_of(study, cells)
    for cell in cells.cells.values():
        home.check_recipe(cell)
    return PreparedStudy(study, home, cells, tuple(chosen(study, cells.cells.values(), only)))


def planned(prepared: PreparedStudy, *, engine: Engine, measured: Measured | None = None) -> Plan:
    """What would be done, and how long it takes, by a few steps of each kind of training on this machine."""
    plan = plan_study(prepared.chosen, prepared.folder)
    measure(plan, prepared.folder, threads=engine.threads, measured=measured)
    return plan


def conduct(
    prepared: PreparedStudy,
    engine: Engine,
    *,
    launch: Launch | None = None,
    console: Console | None = None,
    say: Callable[[str], None] = lambda text: None,
    measured: Callable[[int, int], None] = lambda done, of: None,
) -> tuple[Record, Outcome]:
    """Run what is not done of a study, and write its record and its page. Stopped at any moment, the same call goes on.

    ``say`` is told what is being done, ``measured`` how much of how much. Raises `UnskipError` for what cannot be
    used, where another call works in the folder, and where no cell has its images. A cell that fails is in the outcome,
    and in the record.
    """
    out, home = console or Console(quiet=True), prepared.folder
    with only_process(home.path):
        home.open(prepared.study)
        with engine:
            plan = plan_study(prepared.chosen, home)
            if engine.measures_here:
                say("taking a few steps of every kind of training")
                measure(plan, home, threads=engine.threads, measured=measured)
                plan.check_images()
            show_plan(prepared.study, plan, prepared.chosen, engine, out)
            say("running cells")
            progress = Progress(plan, prepared.chosen, home, engine, out, measured)
            outcome = carry_out_all(
                prepared.chosen, home, engine, launch or Launch(), ended=progress.ended, lost=progress.lost
            )
        record = results_of(prepared.study, prepared.cells, home.path)
        write_json(home.results, record.model_dump(mode="json"))
        write_study(home.path)
    return record, outcome
