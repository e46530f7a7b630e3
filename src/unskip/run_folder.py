"""A run is a folder."""

from __future__ import annotations

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
from unskip.files import read_json_lines, write_json, write_text
from unskip.recipe import Recipe, load_recipe
from unskip.settings import nearest

__all__ = ["RunFolder", "net_file", "only_process", "open_run_folder"]


@dataclass(frozen=True)
class RunFolder:
    """Where a run keeps its things.

    ``recipe.yaml`` (resolved), ``environment.json``, ``metrics.jsonl``, ``checkpoints/`` while it trains, ``trained/``
    (students as their training left them, and every training's history), ``nets/`` (what ships, and the teacher),
    ``export/``, ``run.json`` (all results), ``report.html``.
    """

    path: Path

    @property
    def recipe(self) -> Path:
        """The resolved recipe."""
        return self.path / "recipe.yaml"

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

    def exported(self, label: str) -> Path:
        """The exported file."""
        return self.path / "export" / f"{label}.onnx"

    def trained_here(self, label: str) -> bool:
        """Whether this run trained a network itself, and did not find it or was not given it."""
        return any(row["net"] == label for row in read_json_lines(self.metrics))

    def load_results(self) -> dict[str, Any]:
        """What ``run.json`` says; `UnskipError` when there is none, or a damaged one."""
        if not self.results.is_file():
            raise UnskipError(f"{self.path} has no run.json: no complete run; `unskip run` makes or continues one")
        try:
            results: dict[str, Any] = json.loads(self.results.read_text(encoding="utf-8"))
            if not self.weights(results["best"]).is_file():
                raise UnskipError(
                    f"{self.path} has lost {self.weights(results['best'])}; delete the folder to run again"
                )
        except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
            raise UnskipError(
                f"{self.results} is damaged ({error}); delete it and `unskip run` makes it again"
            ) from error
        return results


def open_run_folder(path: Path, recipe: Recipe) -> RunFolder:
    """Make a run folder, or go on with the one that holds the same recipe.

    A folder in which nothing was trained yet, as a mistyped command leaves one, takes the new recipe. Raises
    `UnskipError` when the folder belongs to another recipe, naming the keys that differ, or holds other things.
    """
    folder = RunFolder(path)
    if folder.recipe.exists():
        try:
            before = load_recipe(folder.recipe)
        except UnskipError as error:
            raise UnskipError(
                f"{error}; so {path} cannot be gone on with: choose another with --out, or delete it"
            ) from error
        differing = _differences(before.model_dump(mode="json"), recipe.model_dump(mode="json"))
        if differing and folder.started:
            raise UnskipError(
                f"{path} holds a run of another recipe; it differs in {', '.join(differing[:5])}"
                f"{', ..' if len(differing) > 5 else ''}. Choose another folder with --out, or delete this one"
            )
        if differing:
            write_text(folder.recipe, recipe.to_yaml())
    elif path.exists() and (not path.is_dir() or any(entry.name != ".lock" for entry in path.iterdir())):
        raise UnskipError(f"{path} exists and is no run folder; choose another with --out")
    else:
        write_text(folder.recipe, recipe.to_yaml())
    for leftover in list(path.rglob(".*.tmp")):  # of a process that was killed while it wrote
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink(missing_ok=True)
    write_json(path / "environment.json", describe_environment())
    return folder


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
        raise UnskipError(f"--net names a network of a run folder, and {target} is a file")
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
            f"another unskip run is working in {folder}; wait for it, or choose another with --out"
        ) from error
    except OSError as error:
        raise UnskipError(f"cannot write into {folder}: {error.strerror}; choose another folder with --out") from error
    try:
        yield
    finally:
        lock.release()
        (folder / ".lock").unlink(missing_ok=True)


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += _differences(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(f"{prefix}{key} ({old!r} there, {new!r} now)")
    return found
