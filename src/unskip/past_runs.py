"""Run folders, read to be compared: finished ones by their results, others as far as they came."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from unskip.errors import UnskipError
from unskip.files import read_json_lines
from unskip.measures import measures
from unskip.recipe import Recipe, load_recipe
from unskip.records import Epoch, PastRun, PastRuns, Run, Training
from unskip.run_folder import RunFolder
from unskip.tasks import make_task


def read_past_runs(folders: Sequence[Path]) -> PastRuns:
    """Run folders, each once, under the shortest names by which they differ.

    Raises `UnskipError` for a folder that holds no run, and for results that cannot be read.
    """
    distinct = list({folder.resolve(): folder for folder in folders}.values())
    if not distinct:
        raise UnskipError("name the run folders to compare")
    runs = tuple(_read(folder, label) for folder, label in zip(distinct, _labels(distinct), strict=True))
    every = {name: measure.about for name, measure in measures().items()}
    known = {name: about for run in runs if run.results for name, about in run.results.comparison.measures.items()}
    return PastRuns(unskip=version("unskip"), runs=runs, measures={**every, **known})


def _labels(folders: Sequence[Path]) -> list[str]:
    """The folders' names, with as many of those above them as tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    for depth in range(1, max(map(len, parts)) + 1):
        labels = ["/".join(each[-depth:]) for each in parts]
        if max(Counter(labels).values()) == 1:
            break
    return labels


def _read(path: Path, label: str) -> PastRun:
    folder = RunFolder(path)
    if (path / "shrink.json").is_file():
        raise UnskipError(
            f"{path} holds a shrink, whose page compares its trials; its winner is the run {path / 'winner'}"
        )
    if not folder.recipe.is_file():
        raise UnskipError(
            f"{path} is no run folder: it has no recipe.yaml" if path.is_dir() else f"no run folder {path}"
        )
    recipe = load_recipe(folder.recipe)
    results = Run.read(path) if folder.results.exists() else None
    inputs = _inputs(folder)
    return PastRun(
        label=label,
        path=str(path),
        title=recipe.title or f"{recipe.teacher.net} on {recipe.data.name}",
        seed=recipe.seed,
        data=recipe.data.name if recipe.data.path is None else f"{recipe.data.name} {recipe.data.path}",
        test_set=_test_set(inputs),
        num_test=results.data.num_test if results else inputs.get("number of test images"),
        metric=results.metric if results else make_task(**dict(recipe.task)).metric,
        trainings=_trainings(folder, recipe, results),
        results=results,
    )


def _inputs(folder: RunFolder) -> Mapping[str, Any]:
    with suppress(OSError, ValueError):  # of a run that did not come so far, or a damaged one
        found = json.loads(folder.inputs.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    return {}


def _test_set(inputs: Mapping[str, Any]) -> str | None:
    hashes = [inputs.get(name) for name in ("test images", "test labels")]
    if not isinstance(hashes[0], str):
        return None
    return hashlib.sha256(json.dumps([hashes, inputs.get("classes"), inputs.get("image shape")]).encode()).hexdigest()


def _trainings(folder: RunFolder, recipe: Recipe, results: Run | None) -> tuple[Training, ...]:
    planned = {label: recipe.training_of(label).epochs for label in ("teacher", *recipe.methods)}
    if results is not None:
        history: Mapping[str, Sequence[Epoch]] = results.history
    else:
        history = _so_far(folder)
    if recipe.teacher.weights is not None or (results is not None and results.teacher.reused):
        planned.pop("teacher")
    return tuple(Training(label=name, planned=most, epochs=history.get(name, ())) for name, most in planned.items())


def _so_far(folder: RunFolder) -> dict[str, list[Epoch]]:
    """The epochs that a run has behind it, by training; lines that are none are passed over."""
    epochs: dict[str, list[Epoch]] = {}
    for row in read_json_lines(folder.metrics):
        with suppress(ValidationError):
            epochs.setdefault(str(row.get("net")), []).append(Epoch.model_validate(row))
    return epochs
