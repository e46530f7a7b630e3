"""A run is a folder."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from filelock import FileLock, Timeout
from pydantic import AfterValidator, BaseModel, ValidationError, model_validator

from unskip.environment import describe_environment
from unskip.errors import UnskipError, nearest, shortened
from unskip.files import parse_json, read_json_lines, remove, write_json, write_text
from unskip.recipe import DataRecipe, Recipe, load_recipe
from unskip.settings import explain


def _file_name(label: str) -> str:
    if not label or Path(label).name != label or label == "..":
        raise ValueError("expected a name that a file can have")
    return label


class _Net(BaseModel):
    label: Annotated[str, AfterValidator(_file_name)]
    training: str | None = None


class Results(BaseModel):
    """What ``run.json`` of any version says of its networks: their labels, and which is the best."""

    best: str
    nets: tuple[_Net, ...]

    @model_validator(mode="after")
    def _names_the_best(self) -> Results:
        if self.best not in self.labels:
            raise ValueError(f"best: expected one of {', '.join(self.labels)}, not {shortened(self.best)!r}")
        return self

    @property
    def labels(self) -> list[str]:
        """Of all networks."""
        return [net.label for net in self.nets]


class RunFolder:
    """Where a run keeps its things.

    Besides what has an attribute: ``checkpoints/`` while it trains, ``trained/`` (students as their training left them,
    every training's history), ``snapshots/``, ``nets/`` (what ships, and the teacher), ``export/``, ``report.html``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe = path / "recipe.yaml"  # resolved
        self.environment = path / "environment.json"  # versions, processor, .., and where the images were found
        self.inputs = path / "inputs.json"  # of what the run read, enough to notice that it is another
        self.metrics = path / "metrics.jsonl"  # a line per network and epoch
        self.results = path / "run.json"  # its presence says that the run is complete
        self.int8 = path / "int8"  # what 8 bits cost its networks, a file for each that was exported so
        self.teachers = path.parent / "teachers"  # of all runs beside this one, by the hash of what made them

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

    def snapshot(self, label: str, epochs: int) -> Path:
        """A network as its training had it after so many epochs, which `training.snapshots` asked for."""
        return self.path / "snapshots" / label / f"epoch-{epochs}.safetensors"

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

    def load_results(self) -> Results:
        """What ``run.json`` says; `UnskipError` when there is none, or one of another form."""
        if not self.results.is_file():
            raise UnskipError(f"{self.path} has no run.json: no complete run; `unskip run` makes or continues one")
        try:
            results = Results.model_validate_json(self.results.read_bytes())
        except ValidationError as error:
            wrong = explain(error, Results, f"{self.results} is damaged")
            raise UnskipError(f"{' '.join(wrong.split())}; delete it and `unskip run` makes it again") from error
        best = self.weights(results.best)
        if not best.is_file():
            raise UnskipError(f"{self.path} has lost {best}; delete the folder to run again")
        return results

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
    """Make a run folder, or go on with the one that holds the same recipe; see :func:`check_run_folder`."""
    folder, data = check_run_folder(path, recipe), recipe.data
    if folder.recipe.exists():
        before = load_recipe(folder.recipe)
        if before != recipe:
            write_text(folder.recipe, recipe.to_yaml())
        if _decisive(before) == _decisive(recipe):
            data = folder.located(data)
    else:
        write_text(folder.recipe, recipe.to_yaml())
    for leftover in list(path.rglob(".*.tmp")):  # of a process that was killed while it wrote
        remove(leftover)
    place = {} if data.name == "digits" else {"data_path": str(data.folder.absolute())}
    write_json(folder.environment, describe_environment() | place)
    return folder


def check_run_folder(path: Path, recipe: Recipe) -> RunFolder:
    """A run folder as it is, if a run of the recipe may use it, go on in it, or make it; nothing is written.

    A folder in which nothing was trained yet, as a mistyped command leaves one, takes the new recipe. Raises
    `UnskipError` when the folder belongs to another recipe, naming the keys that differ, or holds other things.
    """
    folder = RunFolder(path)
    if folder.recipe.exists():
        try:
            before = load_recipe(folder.recipe)
        except UnskipError as error:
            raise UnskipError(
                f"{error}; so {path} cannot be gone on with: choose another `folder`, or delete it"
            ) from error
        differing = differences(_decisive(before), _decisive(recipe))
        if differing and folder.started:
            raise UnskipError(
                f"{path} holds a run of another recipe; it differs in {', '.join(differing[:5])}"
                f"{', ..' if len(differing) > 5 else ''}. Choose another `folder`, or delete this one"
            )
    elif path.exists() and (not path.is_dir() or any(entry.name != ".lock" for entry in path.iterdir())):
        raise UnskipError(f"{path} exists and is no run folder; choose another `folder`")
    return folder


def _decisive(recipe: Recipe) -> dict[str, Any]:
    """What a run's results depend on: not whether it goes on with a weak teacher, which is decided on the way."""
    return recipe.model_dump(mode="json", exclude={"teacher": {"accept_weak"}})


def net_file(target: Path, label: str | None = None) -> Path:
    """The weights that a target means: the file itself, or a network of a run folder, by default its best student."""
    if target.is_dir():
        folder = RunFolder(target)
        results = folder.load_results()
        if label is not None and label not in results.labels:
            known = f"{', '.join(results.labels)}{nearest(label, results.labels)}"
            raise UnskipError(f"{target} has no network {label!r}; it has {known}")
        return folder.weights(label or results.best)
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


def differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The keys in which two recipes as plain data differ, with their values."""
    changes = []
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            changes += differences(old, new, f"{prefix}{key}.")
        elif old != new:
            changes.append(f"{prefix}{key} ({old!r} there, {new!r} now)")
    return changes
