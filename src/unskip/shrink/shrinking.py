"""From a budget to a proven file: the plan, the trials, the winner, its file."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from unskip.compare import compare_answers, machine_load, record_of_data
from unskip.environment import describe_environment
from unskip.errors import UnskipError
from unskip.files import write_json
from unskip.records import Answers, Load, Shrink, Trial, Winner
from unskip.report import write_model_card, write_report
from unskip.run_folder import only_process
from unskip.runtimes import Estimator, find_runtime
from unskip.shrink.first_look import FirstLook, look
from unskip.shrink.folder import Clock, ShrinkFolder
from unskip.shrink.plan import Compiled, Plan, Searching, make_plan
from unskip.shrink.shrink_request import Request
from unskip.shrink.trials import Trials
from unskip.shrink.winner import make_winner
from unskip.shrink.work import Work


def shrink(
    request: Request,
    folder: Path,
    *,
    command: str = "",
    console: Console | None = None,
    say: Callable[[str], None] = lambda text: None,
    compiled: Compiled = lambda done, of: None,
) -> Shrink:
    """Do all that a request asks for, or what is left of it, and return the results, which ``shrink.json`` then holds.

    Interrupted at any moment, the same call goes on where it stopped. ``command`` is what the record says it was made
    by. ``say`` is told what is being done, ``compiled`` how many networks are compiled for the device, of how many.
    Raises `UnskipError` for anything that cannot be used, and where the time is too short.
    """
    started, load, shown = time.time(), machine_load(), console or Console(quiet=True)
    with only_process(folder):
        home = ShrinkFolder(folder, request)
        if home.results.exists():
            shown.print(f"{folder} is complete; delete it to begin anew", highlight=False)
            return _reported(folder)
        with Clock(folder / "seconds.json") as clock:
            search = Searching(request, lambda: clock.seconds, say, compiled)
            first_look = look(request, file=home.teacher, length_of=home.length, search=search, console=shown, say=say)
            plan = _plan(request, home, first_look, clock, say, compiled)
            results = _carried_out(Work(request, home, clock, first_look, plan, shown, say), command, started, load)
        write_json(home.results, results.model_dump(mode="json"))
        return _reported(folder)


def plan_shrink(
    request: Request,
    *,
    console: Console | None = None,
    say: Callable[[str], None] = lambda text: None,
    compiled: Compiled = lambda done, of: None,
) -> Plan:
    """The plan of a request; nothing is trained, and nothing is left behind.

    A teacher without weights is taken as it is made.
    """
    clock, shown = Clock(), console or Console(quiet=True)
    search = Searching(request, lambda: clock.seconds, say, compiled)
    first_look = look(
        request, file=None, length_of=lambda name, length: length(), search=search, console=shown, say=say
    )
    with tempfile.TemporaryDirectory(prefix="unskip-") as place:
        return make_plan(
            request, first_look, Path(place), seconds=lambda: clock.seconds, say=say, compiled=compiled, kept=False
        )


def _reported(folder: Path) -> Shrink:
    """The results, with the page and the model card that are made of them."""
    write_report(folder)
    write_model_card(folder)
    return Shrink.read(folder)


def _plan(
    request: Request,
    folder: ShrinkFolder,
    first_look: FirstLook,
    clock: Clock,
    say: Callable[[str], None],
    compiled: Compiled,
) -> Plan:
    """The plan as it was made first."""
    if folder.plan.is_file():
        plan = Plan.load(folder.plan)
        if plan.inputs != first_look.inputs:
            raise UnskipError(
                f"{folder.path} began with other images or other weights of the teacher, and to go on would mix "
                "the two; bring back what was there, or begin anew in another `folder`"
            )
        return plan
    plan = make_plan(
        request, first_look, folder.path, seconds=lambda: clock.seconds, say=say, compiled=compiled, kept=True
    )
    plan.save(folder.plan)
    return plan


def _carried_out(work: Work, command: str, started: float, load: Load) -> Shrink:
    request, first_look, plan = work.request, work.first_look, work.plan
    trials: tuple[Trial, ...] = ()
    winner: Winner | None = None
    answers: Answers | None = None
    scored_on = "test images"
    if plan.trials:
        tried = Trials(work)
        trials, scored_on = tried.records, tried.scored_on
        winner, file = make_winner(work, tried.best.trial, tried.step_seconds)
        work.say("comparing answers")
        sized = first_look.data_of(tried.best.trial.input_shape)
        answers = compare_answers(first_look.teacher, file, first_look.data, winner_data=sized)
    return Shrink(
        unskip=version("unskip"),
        started=datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        seconds=work.clock.seconds,
        estimated_seconds=plan.estimated_seconds,
        asked_seconds=request.seconds,
        preset=request.preset,
        net=str(first_look.teacher.spec),
        command=command,
        seed=request.recipe.seed,
        data=record_of_data(first_look.data, first_look.recipe, plan.chance),
        scored_on=scored_on,
        target=request.target,
        meanings=_meanings(request),
        estimated=request.device is not None,
        limits=dict(request.limits),
        most=dict(request.budget.most),
        accuracy_drop=request.accuracy_drop,
        measures=plan.measures,
        teacher=plan.teacher,
        trials=trials,
        winner=winner,
        answers=answers,
        ways_out=plan.ways_out,
        notes=tuple(_notes(first_look, plan)),
        environment=describe_environment(),
        load=load,
    )


def _meanings(request: Request) -> dict[str, str]:
    """What the words of the device's configuration mean; nothing where files run on this machine."""
    if request.device is None:
        return {}
    runtime = find_runtime(request.device.runtime)
    assert isinstance(runtime, Estimator)
    return dict(runtime.meanings(request.device))


def _notes(first_look: FirstLook, plan: Plan) -> Iterator[str]:
    if plan.trials and len(plan.trials) < plan.num_usable:
        tried = "one of them was" if len(plan.trials) == 1 else f"{len(plan.trials)} of them were"
        yield (
            f"{plan.num_usable:,} students meet the budget; {tried} trained, first those of each kind of edit that "
            "change the network least. More time tries more."
        )
    if not first_look.trained:
        yield "The network has no weights, and was not trained, since nothing meets the budget."
    if plan.meets:
        yield f"Its file for the target is {plan.teacher_file}, proved on the test images."
