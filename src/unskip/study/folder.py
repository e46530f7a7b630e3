"""Where a study keeps its things, and how far each of its cells is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from unskip.errors import UnskipError
from unskip.files import parse_json, read_json_lines, remove, write_json, write_text
from unskip.recipe import Recipe, load_recipe
from unskip.run_folder import RunFolder, differences
from unskip.study.cells import Cell, decisive
from unskip.study.reading import Study

State = Literal["done", "running", "failed", "begun", "missing"]


class StudyFolder:
    """The folder of a study: ``runs/``, a folder for each cell and ``teachers/``, and what is made of them.

    ``logs/`` has what each cell said, and why one failed. Opening it makes nothing; :meth:`open` does.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.results = path / "study.json"
        self.logs = path / "logs"
        self._about = path / "about.json"

    def open(self, study: Study) -> None:
        """Make the folder, or go on in it. `UnskipError` where it holds another study, or other things."""
        self.check(study)
        write_json(self._about, _about(study))
        for leftover in (self.path / "runs").glob("teachers/*/.*.tmp"):  # of a process that was killed while it wrote
            remove(leftover)

    def check(self, study: Study) -> None:
        """Raise `UnskipError` where the folder holds another study, or other things; nothing is written."""
        if self._about.is_file():
            before = parse_json(self._about.read_bytes(), str(self._about))
            if before != _about(study):
                raise UnskipError(f"{self.path} holds another study, {before}; choose another `folder`")
        elif self.path.exists() and (not self.path.is_dir() or any(e.name != ".lock" for e in self.path.iterdir())):
            raise UnskipError(f"{self.path} exists and is no folder of `unskip study`; choose another `folder`")

    def run(self, cell: Cell) -> RunFolder:
        """The run folder of a cell."""
        return RunFolder(self.path / cell.folder)

    def log(self, cell: Cell) -> Path:
        """What a cell has said."""
        return self.logs / f"{Path(cell.folder).name}.txt"

    def state(self, cell: Cell) -> State:
        """How far a cell is."""
        run = self.run(cell)
        if run.results.is_file():
            return "done"
        if self.is_held(cell):
            return "running"
        if self._failure(cell).is_file():
            return "failed"
        return "begun" if run.started else "missing"

    def is_held(self, cell: Cell) -> bool:
        """Whether a process works in a cell's folder."""
        lock = self.run(cell).path / ".lock"
        if not lock.exists():
            return False
        try:
            with FileLock(lock).acquire(timeout=0):
                return False
        except Timeout:
            return True

    def why(self, cell: Cell) -> str:
        """Why a cell has failed; nothing where it has not."""
        file = self._failure(cell)
        return file.read_text(encoding="utf-8", errors="replace").strip() if file.is_file() else ""

    def fail(self, cell: Cell, why: str) -> None:
        """Keep why a cell has failed."""
        write_text(self._failure(cell), why + "\n")

    def begin(self, cell: Cell) -> Path:
        """Forget an earlier failure, and return the recipe that the cell is run with."""
        self._failure(cell).unlink(missing_ok=True)
        recipe = cell.recipe
        before = self._recipe_of(cell)
        if before is not None:  # whatever it was called when it began
            recipe = recipe.model_copy(update={"title": before.title})
        file = self.logs / f"{Path(cell.folder).name}.yaml"
        write_text(file, recipe.to_yaml())
        return file

    def check_recipe(self, cell: Cell) -> None:
        """Raise `UnskipError` where a cell's folder holds a run of another recipe, naming the keys that differ."""
        before = self._recipe_of(cell)
        differing = [] if before is None else differences(_compared(before), _compared(cell.recipe))
        if differing and self.run(cell).started:
            raise UnskipError(
                f"{self.run(cell).path} holds a run of another recipe, since the study has changed; it differs in "
                f"{', '.join(differing[:5])}{', ..' * (len(differing) > 5)}. Choose another `folder`, or delete it"
            )

    def has_teacher(self, cell: Cell) -> bool:
        """Whether a cell has its teacher, which others then find again."""
        return self.run(cell).weights("teacher").is_file()

    def has_begun_teacher(self, cell: Cell) -> bool:
        """Whether a cell has been interrupted while it trained its teacher."""
        return self.run(cell).checkpoint("teacher").is_file()

    def progress(self, cell: Cell) -> int:
        """The epochs that a cell has behind it."""
        return len(read_json_lines(self.run(cell).metrics))

    def _failure(self, cell: Cell) -> Path:
        return self.logs / f"{Path(cell.folder).name}.failed"

    def _recipe_of(self, cell: Cell) -> Recipe | None:
        file = self.run(cell).recipe
        return load_recipe(file) if file.is_file() else None


def _about(study: Study) -> dict[str, Any]:
    return {"study": study.name, "quick": study.quick}


def _compared(recipe: Recipe) -> Mapping[str, Any]:
    """What must not have changed: the images may lie elsewhere now, and files of runs before it with the study."""
    settings = decisive(recipe)
    settings["data"].pop("path")
    for section, keys in {"teacher": ("weights", "initial_weights"), "student": ("initial_weights",)}.items():
        for key in keys:
            settings[section][key] = settings[section][key] and Path(settings[section][key]).parts[-3:]
    return settings
