"""``unskip run``: train, export, measure and report what a recipe says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unskip.cli._console import out
from unskip.cli._options import AllowedModules, DataName
from unskip.errors import UnskipError

if TYPE_CHECKING:
    from unskip.recipe import Recipe

_NAMES_CODE = re.compile(r"(teacher|student)\.net|methods\.[^.]+\.method|task\.score")  # the fields


def run(
    recipe: Annotated[
        str | None,
        typer.Argument(help="A YAML file, or a name from `unskip recipes`. Without one: the defaults."),
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(metavar="NET", help="The network with shortcuts: see `unskip nets`.")
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            metavar="NAME",
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
    folder: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="By default a folder below runs/.")
    ] = None,
    allowed: AllowedModules = None,
) -> None:
    r"""Train a teacher and plain students, export and measure all of them, write a report.

    Stopped at any instant, the same command goes on where it stopped. A teacher that was trained before is found again.

    For example:

    ```text
    unskip run demo
    unskip run cifar10-quick --set data.path=CIFAR_FOLDER
    unskip run --teacher resnet32 --method ce --method align_kd \
      --data MY_IMAGES --set training.epochs=30
    unskip run cifar10-quick --data MY_IMAGES --set teacher.weights=FILE
    ```
    """
    from unskip.report import show_run
    from unskip.run import run_recipe

    resolved, default_folder = asked_recipe(
        recipe, teacher=teacher, methods=methods or (), data=data, settings=settings or ()
    )
    where = folder or default_folder
    record = run_recipe(resolved, where, console=out)
    out.print()
    show_run(record, out)
    out.print(f"\nreport: {where / 'report.html'}", highlight=False, soft_wrap=True)


def asked_recipe(
    source: str | None,
    *,
    teacher: str | None = None,
    methods: Sequence[str] = (),
    data: str | None = None,
    settings: Sequence[str] = (),
) -> tuple[Recipe, Path]:
    """The recipe that a `run` command means, and the folder it gets when none is named.

    ``methods`` chooses among the recipe's methods, or adds them with their defaults. A recipe as it stands runs in
    ``runs/NAME``; with changes in a folder of its own, so that the same command finds it again. A network, a method or
    a score that the command line names may be of a module of the user's own; one that only the recipe names may not.
    """
    from unskip.data import data_section
    from unskip.own_code import allow_module_of
    from unskip.recipe import digest, load_tree, parse_settings, recipe_from

    if source is None and teacher is None and data is None and not methods and not settings:
        raise UnskipError("name a recipe (`unskip recipes` lists them), or say --teacher, --method and --data")
    for named in (teacher or "", *methods, *_sources_in(parse_settings(settings))):
        allow_module_of(named)
    tree: dict[str, Any] = load_tree(source) if source is not None else {}
    if teacher is not None:
        tree["teacher"] = {**(tree.get("teacher") or {}), "net": teacher}
    if methods:
        known = tree.get("methods") or {}
        tree["methods"] = {}
        for name in methods:
            label = name.rpartition(":")[2]
            tree["methods"][label] = {"method": name} if ":" in name else known.get(name) or {}
    if data is not None:
        tree["data"] = {**(tree.get("data") or {}), **data_section(data)}
    recipe = recipe_from(tree, settings, origin=source or "command line")
    name = (
        Path(source).stem
        if source is not None
        else f"{recipe.teacher.net.replace(':', '-')}-{'-'.join(recipe.methods)}"
    )
    changed = source is None or recipe != recipe_from(load_tree(source))
    suffix = f"-{digest(recipe.model_dump(mode='json'))[:6]}" if changed else ""
    return recipe, Path("runs") / f"{name}{suffix}"


def _sources_in(value: object, key: str = "") -> Iterator[str]:
    """The networks, methods and scores that fields of a recipe name."""
    if isinstance(value, dict):
        for name, field in value.items():
            yield from _sources_in(field, f"{key}.{name}".lstrip("."))
    elif isinstance(value, str) and _NAMES_CODE.fullmatch(key):
        yield value
