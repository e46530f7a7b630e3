"""``unskip run``: train, export, measure and report what a recipe says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column, Table

from unskip.cli import _completion
from unskip.cli._console import Progress, out, print_pairs
from unskip.cli._options import AllowedModules, DataName, ImageSize, parse_size
from unskip.errors import UnskipError

if TYPE_CHECKING:
    from unskip.recipe import Recipe

_PLAN_COLUMNS = ("parameters", "epochs", "steps", "highest rate", "time")
_NAMES_CODE = re.compile(r"(teacher|student)\.net|methods\.[^.]+\.method|task\.score")  # the fields


def run(
    recipe: Annotated[
        str | None,
        typer.Argument(
            autocompletion=_completion.recipes,
            help="A YAML file, or a name from `unskip recipes`. Without one: the defaults.",
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="NET",
            autocompletion=_completion.nets,
            help="The network with shortcuts: a name (`unskip nets`), a run folder, or a file of weights.",
        ),
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            metavar="NAME",
            autocompletion=_completion.methods,
            help="A method to train a student with: see `unskip methods`. Repeat for more.",
        ),
    ] = None,
    data: DataName = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change any field, such as training.epochs=8. Repeat for more."
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="Passes over the training images; the same as training.epochs.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="Images per step; the same as training.batch_size.")
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            help="The highest learning rate: training.schedule.max_lr of a onecycle schedule, training.optimizer.lr of "
            "others.",
        ),
    ] = None,
    image_size: ImageSize = None,
    seed: Annotated[int | None, typer.Option(metavar="NUMBER", help="The same as the recipe's seed.")] = None,
    folder: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="By default a folder below runs/.")
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Show what would be done and how long the training would take, measured by a few steps of each; train "
            "and write nothing.",
        ),
    ] = False,
    allowed: AllowedModules = None,
) -> None:
    r"""Train a teacher and plain students, export and measure all of them, write a report.

    If the run is stopped, the same command continues from there. A teacher that was trained before is reused. Before a
    long training it says how long that will take.

    For example:

    ```text
    unskip run demo
    unskip run cifar10-quick --set data.path=CIFAR_FOLDER
    unskip run --teacher resnet32 --method ce --method align_kd \
      --data MY_IMAGES --set training.epochs=30
    unskip run cifar10-quick --data MY_IMAGES --epochs 20 --set teacher.weights=FILE --dry-run
    ```
    """
    from unskip.report import show_run
    from unskip.run import run_recipe

    resolved, default_folder = asked_recipe(
        recipe,
        teacher=teacher,
        methods=methods or (),
        data=data,
        settings=settings or (),
        options=RunOptions(epochs, batch_size, lr, image_size, seed),
    )
    where = folder or default_folder
    if dry_run:
        _show_plan(resolved, where)
        return
    record = run_recipe(resolved, where, console=out)
    out.print()
    show_run(record, out)
    out.print(f"\nreport: {where / 'report.html'}", highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class RunOptions:
    """Options that are short for settings of a recipe."""

    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    image_size: str | None = None
    seed: int | None = None

    def settings(self, recipe: Callable[[], Recipe]) -> dict[str, tuple[str, Any]]:
        """The options that were given and their values, by the recipe's keys.

        ``recipe`` gives the recipe without them, whose schedule says which rate decides.
        """
        size = parse_size(self.image_size)
        side: Any = size if size is None or size[0] != size[1] else size[0]
        named = {
            "training.epochs": ("--epochs", self.epochs),
            "training.batch_size": ("--batch-size", self.batch_size),
            "data.image_size": ("--image-size", list(side) if isinstance(side, tuple) else side),
            "seed": ("--seed", self.seed),
        }
        if self.lr is not None:
            one_cycle = recipe().training.schedule.name == "onecycle"
            key = "training.schedule.max_lr" if one_cycle else "training.optimizer.lr"
            named[key] = "--lr", self.lr
        return {key: (option, value) for key, (option, value) in named.items() if value is not None}


def asked_recipe(
    source: str | None,
    *,
    teacher: str | None = None,
    methods: Sequence[str] = (),
    data: str | None = None,
    settings: Sequence[str] = (),
    options: RunOptions | None = None,
) -> tuple[Recipe, Path]:
    """The recipe that a `run` command means, and the folder it gets when none is named.

    ``methods`` chooses among the recipe's methods, or adds them with their defaults. A recipe as it stands runs in
    ``runs/NAME``; with changes in a folder of its own, so that the same command finds it again. A network, a method or
    a score that the command line names may be of a module of the user's own; one that only the recipe names may not.
    ``options`` are as their settings would be; `UnskipError` where a setting says otherwise.
    """
    from unskip.data import data_section
    from unskip.own_code import allow_module_of
    from unskip.recipe import digest, load_tree, parse_settings, recipe_from
    from unskip.shrink.shrink_request import trained_teacher

    options = options or RunOptions()
    if source is None and teacher is None and data is None and not methods and not settings and options == RunOptions():
        raise UnskipError("name a recipe (`unskip recipes` lists them), or say --teacher, --method and --data")
    for named in (teacher or "", *methods, *_sources_in(parse_settings(settings))):
        allow_module_of(named)
    tree: dict[str, Any] = load_tree(source) if source is not None else {}
    if teacher is not None:
        trained = trained_teacher(teacher) or {"teacher": {"net": teacher}}
        tree["teacher"] = {**(tree.get("teacher") or {}), **trained["teacher"]}
        if "data" in trained:
            tree.setdefault("data", trained["data"])
    if methods:
        known = tree.get("methods") or {}
        tree["methods"] = {}
        for name in methods:
            label = name.rpartition(":")[2]
            tree["methods"][label] = {"method": name} if ":" in name else known.get(name) or {}
    if data is not None:
        tree["data"] = {**(tree.get("data") or {}), **data_section(data)}
    origin = source or "command line"
    meant = options.settings(lambda: recipe_from(tree, settings, origin=origin))
    recipe = recipe_from(tree, [*settings, *_as_settings(meant, parse_settings(settings))], origin=origin)
    name = (
        Path(source).stem
        if source is not None
        else f"{recipe.teacher.net.replace(':', '-')}-{'-'.join(recipe.methods)}"
    )
    changed = source is None or recipe != recipe_from(load_tree(source))
    suffix = f"-{digest(recipe.model_dump(mode='json'))[:6]}" if changed else ""
    return recipe, Path("runs") / f"{name}{suffix}"


def _as_settings(options: Mapping[str, tuple[str, Any]], settings: Mapping[str, Any]) -> list[str]:
    """Options, by the recipe's keys, as settings; `UnskipError` where the settings give a key another value."""
    for key, (option, value) in options.items():
        if key in settings and settings[key] != value:
            raise UnskipError(
                f"{option} {value} and --set {key}={settings[key]} say different things about one field; give one"
            )
    return [f"{key}={json.dumps(value)}" for key, (_, value) in options.items()]


def _show_plan(recipe: Recipe, folder: Path) -> None:
    """What a run would do."""
    from unskip.run_plan import described, planned_run, total_seconds
    from unskip.runtimes import find_runtime
    from unskip.units import duration

    with Progress() as progress:
        progress.say("reading the images, and taking a few steps of every training")
        plan = planned_run(recipe, folder)
    data = plan.data
    classes = f"{len(data.classes)} classes, " if data.classes else ""
    size = "x".join(map(str, data.image_shape))
    print_pairs(
        [
            ("images", f"{data.name}: {data.num_train:,} training, {data.num_test:,} test, {classes}{size}"),
            ("teacher", _teacher_in_words(recipe, [training.label for training in plan.trainings])),
        ]
    )
    table = Table("training", "network", *(Column(name, justify="right") for name in _PLAN_COLUMNS), box=None)
    for training in plan.trainings:
        settings = training.settings
        table.add_row(
            training.label,
            described(training.net),
            f"{training.parameters:,}",
            f"{settings.epochs:,}",
            f"{training.steps:,}",
            f"{settings.highest_rate:g}",
            duration(training.seconds or 0.0) + (" left" if training.share_done else ""),
        )
    if plan.trainings:
        out.print(table)
        seconds = total_seconds(plan.trainings) or 0.0
        say = f"about {duration(seconds)} of training, by a few steps of each on this machine as it is now"
    else:
        say = "nothing is left to train"
    ending = find_runtime(recipe.measure.runtime).endings[0]
    labels = ", ".join(["teacher", *recipe.methods])
    out.print(say, highlight=False)
    print_pairs(
        [
            ("then", f"exports ({ending}), proves and measures {labels}"),
            ("writes", f"{folder}: recipe.yaml, metrics.jsonl, nets/, export/, run.json, report.html"),
        ]
    )
    out.print("nothing was trained or written", highlight=False)


def _teacher_in_words(recipe: Recipe, trained: Sequence[str]) -> str:
    net, weights = recipe.teacher.net, recipe.teacher.weights
    if weights is not None:
        return f"{net} from {weights}"
    return f"{net}, trained first" if "teacher" in trained else f"{net}, trained before"


def _sources_in(value: object, key: str = "") -> Iterator[str]:
    """The networks, methods and scores that fields of a recipe name."""
    if isinstance(value, dict):
        for name, field in value.items():
            yield from _sources_in(field, f"{key}.{name}".lstrip("."))
    elif isinstance(value, str) and _NAMES_CODE.fullmatch(key):
        yield value
