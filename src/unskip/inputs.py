"""What a run reads from outside: so that one that goes on notices when it is no longer the same."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from unskip.data import Data
from unskip.errors import UnskipError
from unskip.files import write_json
from unskip.recipe import Recipe
from unskip.run_folder import RunFolder
from unskip.weights import PRETRAINED


def check_files(recipe: Recipe) -> None:
    """Raise `UnskipError` for weights that are not there, before anything takes time."""
    for key, name in _weights(recipe).items():
        if name != PRETRAINED and not Path(name).is_file():
            where = "" if Path(name).is_absolute() else f"; looked for it from {Path.cwd()}, where this command runs"
            raise UnskipError(f"{key}: no file {name}{where}")


def check_inputs(folder: RunFolder, recipe: Recipe, data: Data, *, write: bool) -> None:
    """Raise `UnskipError` where a run goes on with other images or weights files than it began with, naming them.

    A run that begins keeps what it read in ``inputs.json`` if it is the process to ``write``.
    """
    inputs = json.loads(json.dumps(_inputs(recipe, data)))
    before = _before(folder)
    changed = [name for name in inputs if name in before and before[name] != inputs[name]]
    if "training images" in changed:  # from which the normalisation follows
        changed = [name for name in changed if not name.endswith("normalisation")]
    if changed:
        raise UnskipError(
            f"{folder.path} began with other inputs, and to go on would mix the two; changed since then: "
            f"{'; '.join(_change(name, before[name], inputs[name]) for name in changed)}. Bring back what was there, "
            "or begin anew in another `folder`"
        )
    if write:
        write_json(folder.inputs, inputs)


def file_hash(weights: str) -> str:
    """The SHA-256 of a weights file; `UnskipError` where there is none. Published weights have their name only."""
    if weights == PRETRAINED:
        return weights
    try:
        return hashlib.sha256(Path(weights).read_bytes()).hexdigest()
    except OSError as error:
        raise UnskipError(f"cannot read the weights {weights}: {error.strerror}") from error


def _inputs(recipe: Recipe, data: Data) -> dict[str, Any]:
    """By the names that messages use; lists of numbers and names where they tell what changed, else hashes."""
    return {
        "classes": data.classes,
        "image shape": data.image_shape,
        "number of training images": data.num_train,
        "number of test images": data.num_test,
        **data.contents,
        "mean of the normalisation": data.mean,
        "standard deviation of the normalisation": data.std,
        **{name: file_hash(path) for name, path in _weights(recipe).items()},
    }


def _weights(recipe: Recipe) -> dict[str, str]:
    """The weights files that a recipe names, by its keys."""
    names = {
        "teacher.weights": recipe.teacher.weights,
        "teacher.initial_weights": recipe.teacher.initial_weights,
        "student.initial_weights": recipe.student.initial_weights,
    }
    return {key: name for key, name in names.items() if name is not None}


def _before(folder: RunFolder) -> dict[str, Any]:
    """What the run began with; nothing where it did not come so far that it matters."""
    if folder.started and folder.inputs.exists():
        with suppress(ValueError):  # a damaged file says nothing
            found = json.loads(folder.inputs.read_text(encoding="utf-8"))
            return found if isinstance(found, dict) else {}
    return {}


def _change(name: str, before: Any, now: Any) -> str:
    """What is another now, with the values where they are short."""
    told = [value if isinstance(value, str) else json.dumps(value) for value in (before, now)]
    return f"{name} ({told[0]} then, {told[1]} now)" if max(map(len, told)) <= 60 else name
