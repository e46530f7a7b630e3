"""A run is a folder."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from unskip.environment import describe_environment
from unskip.errors import UnskipError
from unskip.files import parse_json, read_json_lines, write_json, write_text
from unskip.recipe import DataRecipe, Recipe, load_recipe
from unskip.settings import nearest

__all__ = ["RunFolder", "net_file", "only_process", "open_run_folder"]


@dataclass(frozen=True)
class RunFolder:
    """Where a run keeps its things.

    ``recipe.yaml`` (resolved), ``environment.json``, ``inputs.json``, ``metrics.jsonl``, ``checkpoints/`` while it
    trains, ``trained/`` (students as their training left them, and every training's history), ``nets/`` (what ships,
    and the teacher), ``export/``, ``run.json`` (all results), ``report.html``.
    """

    path: Path

    @property
    def recipe(self) -> Path:
        """The resolved recipe."""
        return self.path / "recipe.yaml"

    @property
    def environment(self) -> Path:
        """Versions, processor, threads, accelerator, and where the images were found."""
        return self.path / "environment.json"

    @property
    def inputs(self) -> Path:
        """What the run read: of the images and of every weights file enough to notice that it is another."""
        return self.path / "inputs.json"

    @property
    def metrics(self) -> Path:
        """A line per network and epoch."""
        return self.path / "metrics.jsonl"

    @property
    def results(self) -> Path:
        """All results; its presence says that the run is complete."""
        return self.path / "run.json"

    @property
    def teachers(self) -> Path:
        """Trained teachers of all runs beside this one, by the hash of what made them."""
        return self.path.parent / "teachers"

    @property
    def started(self) -> bool:
        """Whether anything was trained or saved here."""
        things = ("checkpoints", "trained", "nets", "metrics.jsonl", "run.json")
        return any((self.path / name).exists() for name in things)

    def checkpoint(self, label: str) -> Path:
        """Where the training of a network is saved while it lasts."""
        return self.path / "checkpoints" / f"{label}.ckpt"

    def trained(self, label: str) -> Path:
        """A network as its training left it: with Dirac convolutions, with all its depths .."""
        return self.path / "trained" / f"{label}.safetensors"

    def history(self, label: str) -> Path:
        """The epochs of its training."""
        return self.path / "trained" / f"{label}.json"

    def weights(self, label: str) -> Path:
        """A network that ships, or the teacher."""
        return self.path / "nets" / f"{label}.safetensors"

    def exported(self, label: str, ending: str = ".onnx") -> Path:
        """The exported file."""
        return self.path / "export" / f"{label}{ending}"

    def located(self, data: DataRecipe) -> DataRecipe:
        """The run's data section with the place where its images were found, as long as there is something.

        A relative path in a recipe is one from where the run was started; later commands may run elsewhere.
        """
        if data.folder.is_absolute():
            return data
        with contextlib.suppress(OSError, ValueError, AttributeError):
            place = json.loads(self.environment.read_text(encoding="utf-8")).get("data_path")
            if isinstance(place, str) and Path(place).exists():
                return data.model_copy(update={"path": place})
        return data

    def trained_here(self, label: str) -> bool:
        """Whether this run trained a network itself, and did not find it or was not given it."""
        return any(row["net"] == label for row in read_json_lines(self.metrics))

    def load_results(self) -> dict[str, Any]:
        """What ``run.json`` says; `UnskipError` when there is none, or one of another form."""
        if not self.results.is_file():
            raise UnskipError(f"{self.path} has no run.json: no complete run; `unskip run` makes or continues one")
        again = "delete it and `unskip run` makes it again"
        try:
            results = parse_json(self.results.read_bytes(), str(self.results))
        except UnskipError as error:
            raise UnskipError(f"{error}; {again}") from error
        labels = _labels_in(results)
        if not labels or results.get("best") not in labels:
            raise UnskipError(
                f"{self.results} is damaged: expected networks with labels, one of them the best; {again}"
            )
        leading_out = [label for label in labels if Path(label).name != label or label == ".."]
        if leading_out:
            raise UnskipError(f"{self.results} names a network {leading_out[0]!r}, which is no file's name; {again}")
        best = self.weights(results["best"])
        if not best.is_file():
            raise UnskipError(f"{self.path} has lost {best}; delete the folder to run again")
        found: dict[str, Any] = results
        return found

    def load_history(self, label: str) -> list[dict[str, Any]]:
        """The epochs of a training that is done; `UnskipError` for a file that does not hold them."""
        path = self.history(label)
        if not path.is_file():
            raise UnskipError(f"{self.path} has lost {path}; delete {self.trained(label)} to train it again")
        rows = parse_json(path.read_bytes(), str(path))
        if not isinstance(rows, list) or not all(isinstance(row, dict) and "seconds" in row for row in rows):
            raise UnskipError(f"{path} is damaged; delete it and {self.trained(label)} to train it again")
        return rows


def open_run_folder(path: Path, recipe: Recipe) -> RunFolder:
    """Make a run folder, or go on with the one that holds the same recipe.

    A folder in which nothing was trained yet, as a mistyped command leaves one, takes the new recipe. Raises
    `UnskipError` when the folder belongs to another recipe, naming the keys that differ, or holds other things.
    """
    folder, data = RunFolder(path), recipe.data
    if folder.recipe.exists():
        try:
            before = load_recipe(folder.recipe)
        except UnskipError as error:
            raise UnskipError(
                f"{error}; so {path} cannot be gone on with: choose another `folder`, or delete it"
            ) from error
        differing = _differences(_decisive(before), _decisive(recipe))
        if differing and folder.started:
            raise UnskipError(
                f"{path} holds a run of another recipe; it differs in {', '.join(differing[:5])}"
                f"{', ..' if len(differing) > 5 else ''}. Choose another `folder`, or delete this one"
            )
        if before != recipe:
            write_text(folder.recipe, recipe.to_yaml())
        if not differing:
            data = folder.located(data)
    elif path.exists() and (not path.is_dir() or any(entry.name != ".lock" for entry in path.iterdir())):
        raise UnskipError(f"{path} exists and is no run folder; choose another `folder`")
    else:
        write_text(folder.recipe, recipe.to_yaml())
    for leftover in list(path.rglob(".*.tmp")):  # of a process that was killed while it wrote
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink(missing_ok=True)
    place = {} if data.name == "digits" else {"data_path": str(data.folder.absolute())}
    write_json(folder.environment, describe_environment() | place)
    return folder


def _decisive(recipe: Recipe) -> dict[str, Any]:
    """What a run's results depend on: not whether it goes on with a weak teacher, which is decided on the way."""
    return recipe.model_dump(mode="json", exclude={"teacher": {"accept_weak"}})


def net_file(target: Path, label: str | None = None) -> Path:
    """The weights that a target means: the file itself, or a network of a run folder, by default its best student."""
    if target.is_dir():
        folder = RunFolder(target)
        results = folder.load_results()
        labels = [row["label"] for row in results["nets"]]
        if label is not None and label not in labels:
            raise UnskipError(f"{target} has no network {label!r}; it has {', '.join(labels)}{nearest(label, labels)}")
        return folder.weights(label or results["best"])
    if not target.is_file():
        raise UnskipError(f"no file or run folder {target}")
    if label is not None:
        raise UnskipError(f"`label` names a network of a run folder, and {target} is a file")
    return target


@contextmanager
def only_process(folder: Path) -> Iterator[None]:
    """Keep a second process out of a run folder; a process that was killed does not hold it."""
    lock = FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UnskipError(
            f"another unskip run is working in {folder}; wait for it, or choose another `folder`"
        ) from error
    except OSError as error:
        raise UnskipError(f"cannot write into {folder}: {error.strerror}; choose another `folder`") from error
    try:
        yield
    finally:
        lock.release()
        (folder / ".lock").unlink(missing_ok=True)


def _labels_in(results: Any) -> list[str]:
    """The labels of a run's networks; none where what ``run.json`` holds is of another form."""
    rows = results.get("nets") if isinstance(results, dict) else None
    rows = rows if isinstance(rows, list) else []
    texts = [row[key] for row in rows if isinstance(row, dict) for key in ("label", "training") if key in row]
    if not all(isinstance(row, dict) and "label" in row for row in rows) or not all(isinstance(t, str) for t in texts):
        return []
    return [row["label"] for row in rows]


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += _differences(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(f"{prefix}{key} ({old!r} there, {new!r} now)")
    return found
