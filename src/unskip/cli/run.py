"""``unskip run``: train, export, measure and report what a recipe says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unskip.cli._console import out
from unskip.cli._options import AllowedModules, DataName
from unskip.errors import UnskipError

if TYPE_CHECKING:
    from unskip.recipe import Recipe


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
    ``runs/NAME``; with changes in a folder of its own, so that the same command finds it again. A network or a method
    that the command line names is allowed to be of a module of the user's own; one that only the recipe names is not.
    """
    from unskip.data import data_section
    from unskip.own_code import allow_module_of
    from unskip.recipe import digest, load_tree, recipe_from

    if source is None and teacher is None and data is None and not methods and not settings:
        raise UnskipError("name a recipe (`unskip recipes` lists them), or say --teacher, --method and --data")
    tree: dict[str, Any] = load_tree(source) if source is not None else {}
    if teacher is not None:
        tree["teacher"] = {**(tree.get("teacher") or {}), "net": teacher}
    if methods:
        known = tree.get("methods") or {}
        tree["methods"] = {}
        for name in methods:
            allow_module_of(name)
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
    for net in _typed_nets(teacher, settings):
        allow_module_of(net)
    changed = source is None or recipe != recipe_from(load_tree(source))
    suffix = f"-{digest(recipe.model_dump(mode='json'))[:6]}" if changed else ""
    return recipe, Path("runs") / f"{name}{suffix}"


def _typed_nets(teacher: str | None, settings: Sequence[str]) -> list[str]:
    """The networks that a `run` command names itself, whatever its recipe names."""
    from unskip.recipe import parse_settings

    nets = [teacher]
    for key, value in parse_settings(settings).items():
        section, _, field = key.partition(".")
        if section in ("teacher", "student"):
            nets.append(value if field == "net" else value.get("net") if isinstance(value, dict) else None)
        elif key == "task.score":
            nets.append(value)
    return [net for net in nets if isinstance(net, str)]
