"""From what a command line says to what the library takes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from unskip.data import recipe_for
from unskip.errors import UnskipError
from unskip.nets import StagedNet, allow_module_of, find_net, image_channels, make_net
from unskip.recipe import Recipe, digest, load_tree, parse_edits, parse_setting, recipe_from
from unskip.recipe.sections import LARGEST_SIDE, SMALLEST_SIDE
from unskip.run_folder import net_file
from unskip.search import Budget
from unskip.surgery import edited
from unskip.units import bytes_from, count_from
from unskip.weights import load_net

__all__ = ["data_settings", "parse_size", "request_budget", "request_net", "request_run", "request_teacher"]


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
    ``runs/NAME``; with changes in a folder of its own, so that the same command finds it again. A network that the
    command line names is allowed to be of a module of the user's own; one that only the recipe names is not.
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
    for net in _typed_nets(teacher, settings):
        allow_module_of(net)
    changed = source is None or recipe != recipe_from(load_tree(source))
    suffix = f"-{digest(recipe.model_dump(mode='json'))[:6]}" if changed else ""
    return recipe, Path("runs") / f"{name}{suffix}"


def _typed_nets(teacher: str | None, settings: Sequence[str]) -> list[str]:
    """The networks that a `run` command names itself, whatever its recipe names."""
    nets = [teacher]
    for key, value in map(parse_setting, settings):
        section, _, field = key.partition(".")
        if section in ("teacher", "student"):
            nets.append(value if field == "net" else value.get("net") if isinstance(value, dict) else None)
    return [net for net in nets if isinstance(net, str)]


def data_settings(argument: str) -> dict[str, Any]:
    """The fields of the data section that ``--data ARGUMENT`` sets."""
    return recipe_for(argument).model_dump(mode="json", include={"name", "path"})


def parse_size(text: str | None) -> tuple[int, int] | None:
    """(height, width) in pixels as ``--image-size`` says it: a side, ``96``, or both, ``96x64``; None for none."""
    if text is None:
        return None
    words = text.lower().split("x")
    sides = [int(word) if word.isdecimal() and len(word) < 9 else 0 for word in words]
    if len(sides) > 2 or not all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in sides):
        raise UnskipError(
            f"--image-size {text!r}: expected a side in pixels, from {SMALLEST_SIDE} to {LARGEST_SIDE}, such as 96, or "
            "height and width, such as 96x64"
        )
    return sides[0], sides[-1]


def request_net(
    target: str, options: Sequence[str] = (), edits: Sequence[str] = (), image_size: tuple[int, int] | None = None
) -> tuple[StagedNet, tuple[int, int, int]]:
    """The network that `inspect` is asked about and the shape (C, H, W) of its input.

    ``edits`` are names of edits or, as YAML, names with their arguments: ``with_grouped_convs: {groups: 2}``.
    ``image_size`` is (height, width).
    """
    path = Path(target)
    if _is_trained(path):
        if options:
            raise UnskipError(f"--set {options[0]!r}: {target} is a trained network, whose options are fixed")
        net, info = load_net(net_file(path))
        channels, *own_size = info.image_shape
        height, width = image_size or own_size
    else:
        values = dict(parse_setting(option) for option in options)
        net = make_net(target, values)
        height, width = image_size or (find_net(target).image_size,) * 2
        channels = image_channels(net, max(height, width))
    return edited(net, parse_edits(edits), seed=0), (channels, height, width)


def request_teacher(
    target: str, options: Sequence[str] = (), image_size: tuple[int, int] | None = None
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
        peak_bytes=None if memory is None else bytes_from(memory, "memory"),
        parameters=None if parameters is None else count_from(parameters, "parameters"),
        macs=None if macs is None else count_from(macs, "macs"),
        file_bytes=None if file_size is None else bytes_from(file_size, "file_size"),
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
