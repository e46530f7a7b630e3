"""From what a command line says to what the library takes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from unskip.budget import Budget, parse_bytes, parse_count
from unskip.data import recipe_for
from unskip.errors import UnskipError
from unskip.nets import StagedNet, find_net, image_channels, make_net
from unskip.recipe import Recipe, digest, load_tree, parse_edits, parse_setting, recipe_from
from unskip.run_folder import net_file
from unskip.surgery import edited
from unskip.weights import load_net

__all__ = ["data_settings", "request_budget", "request_net", "request_run", "request_teacher"]


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
    if _is_trained(path):
        if options:
            raise UnskipError(f"--set {options[0]!r}: {target} is a trained network, whose options are fixed")
        net, info = load_net(net_file(path))
        channels, height, width = info.image_shape
        shape = (channels, image_size or height, image_size or width)
    else:
        values = dict(parse_setting(option) for option in options)
        net = make_net(target, values)
        side = image_size or find_net(target).image_size
        shape = (image_channels(net, side), side, side)
    return edited(net, parse_edits(edits), seed=0), shape


def request_teacher(
    target: str, options: Sequence[str] = (), image_size: int | None = None
) -> tuple[StagedNet, tuple[int, int, int], Path | None]:
    """The network that `fit-budget` is asked about, the shape of its input, and its weights where it is trained.

    A network by name is made on the meta device, without memory.
    """
    trained = _is_trained(Path(target))
    with nullcontext() if trained else torch.device("meta"):
        net, shape = request_net(target, options, (), image_size)
    return net, shape, net_file(Path(target)) if trained else None


def request_budget(
    *,
    memory: str | None,
    parameters: str | None,
    macs: str | None,
    file_size: str | None,
    latency_ratio: float | None,
    latency_ms: float | None,
    element: str,
    measures: bool,
) -> Budget:
    """The budget that the options of `fit-budget` say, which ``measures`` latency or not."""
    budget = Budget(
        peak_bytes=None if memory is None else parse_bytes(memory, "--memory"),
        parameters=None if parameters is None else parse_count(parameters, "--parameters"),
        macs=None if macs is None else parse_count(macs, "--macs"),
        file_bytes=None if file_size is None else parse_bytes(file_size, "--file-size"),
        latency_ratio=latency_ratio,
        latency_ms=latency_ms,
        element=element,
    )
    if budget.limits_latency and not measures:
        raise UnskipError("--no-latency and a limit of latency exclude each other: latency is measured, not forecast")
    return budget


def _is_trained(path: Path) -> bool:
    """Whether this names a trained network and not one of the zoo."""
    return path.suffix == ".safetensors" or path.is_dir()
