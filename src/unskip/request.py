"""From what a command line says to what the library takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unskip.data import recipe_for
from unskip.errors import UnskipError
from unskip.nets import StagedNet, find_net, make_net
from unskip.recipe import Recipe, digest, load_tree, parse_edits, parse_setting, recipe_from
from unskip.run_folder import net_file
from unskip.surgery import edited
from unskip.weights import load_net

__all__ = ["data_settings", "request_net", "request_run"]


def request_run(
    source: str | None,
    *,
    teacher: str | None = None,
    methods: Sequence[str] = (),
    data: str | None = None,
    settings: Sequence[str] = (),
) -> tuple[Recipe, Path]:
    """The recipe that a `run` command means, and the folder it gets when none is named.

    ``methods`` chooses among the recipe's methods, or adds them with their defaults. A recipe as it stands runs in
    ``runs/NAME``; with changes in a folder of its own, so that the same command finds it again.
    """
    if source is None and teacher is None and data is None and not methods and not settings:
        raise UnskipError("name a recipe (`unskip recipes` lists them), or say --teacher, --method and --data")
    tree: dict[str, Any] = load_tree(source) if source is not None else {}
    if teacher is not None:
        tree["teacher"] = {**(tree.get("teacher") or {}), "net": teacher}
    if methods:
        known = tree.get("methods") or {}
        tree["methods"] = {name: known.get(name) or {} for name in methods}
    if data is not None:
        tree["data"] = {**(tree.get("data") or {}), **data_settings(data)}
    recipe = recipe_from(tree, settings, origin=source or "command line")
    name = (
        Path(source).stem
        if source is not None
        else f"{recipe.teacher.net.replace(':', '-')}-{'-'.join(recipe.methods)}"
    )
    changed = source is None or recipe != recipe_from(load_tree(source))
    suffix = f"-{digest(recipe.model_dump(mode='json'))[:6]}" if changed else ""
    return recipe, Path("runs") / f"{name}{suffix}"


def data_settings(argument: str) -> dict[str, Any]:
    """The fields of the data section that ``--data ARGUMENT`` sets."""
    return recipe_for(argument).model_dump(mode="json", include={"name", "path"})


def request_net(
    target: str, options: Sequence[str] = (), edits: Sequence[str] = (), image_size: int | None = None
) -> tuple[StagedNet, tuple[int, int, int]]:
    """The network that `inspect` is asked about and the shape (C, H, W) of its input.

    ``edits`` are names of edits or, as YAML, names with their arguments: ``with_grouped_convs: {groups: 2}``.
    """
    path = Path(target)
    if path.suffix == ".safetensors" or path.is_dir():
        if options:
            raise UnskipError(f"--set {options[0]!r}: {target} is a trained network, whose options are fixed")
        net, info = load_net(net_file(path))
        channels, height, width = info.image_shape
        shape = (channels, image_size or height, image_size or width)
    else:
        values = dict(parse_setting(option) for option in options)
        net = make_net(target, values)
        side = image_size or find_net(target).image_size
        shape = (values.get("in_channels", 3), side, side)
    return edited(net, parse_edits(edits), seed=0), shape
