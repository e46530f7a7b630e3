"""Where the images of a study's runs lie, as its user says it: one place for all, or one for each set by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unskip.data import data_section
from unskip.errors import UnskipError, nearest, shortened
from unskip.recipe import changed_tree


@dataclass
class DataSets:
    """Texts such as ``PATH``, for all runs, or ``cifar10=PATH``, for the runs on that set.

    A set is named by a recipe's ``data.name``, by the last folder of its ``data.path``, or by a label of the study that
    chooses it.
    """

    places: Sequence[str] = ()
    _sets: dict[tuple[str, str], None] = field(default_factory=dict, init=False)
    _names: dict[str, None] = field(default_factory=dict, init=False)
    _used: set[str] = field(default_factory=set, init=False)

    def located(self, tree: dict[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
        """The plain data of a cell's recipe with the place of its images."""
        section = tree.get("data") or {}
        if not isinstance(section, dict):
            return tree  # the recipe says what is wrong with it
        name, path = str(section.get("name", "digits")), str(section.get("path") or "")
        names = dict.fromkeys((*labels.values(), name, *([Path(path).name] if path else [])))
        self._sets[name, path] = None
        self._names.update(names)
        for text in self.places:
            set_name, equals, place = text.partition("=")
            if not equals:
                set_name, place = "", text
            if not equals or set_name in names:
                self._used.add(text)
                at = str(Path(place).absolute()) if Path(place).is_dir() else place  # a run may have another folder
                changes = {f"data.{key}": value for key, value in data_section(at).items()}
                tree = changed_tree(tree, changes, origin="data")
        return tree

    def check_used(self) -> None:
        """Raise `UnskipError` for a name that no run has, and for one place where the runs are of several sets."""
        for text in self.places:
            if text not in self._used:
                name = text.partition("=")[0]
                raise UnskipError(
                    f"`data` {shortened(text)!r}: no run is on {shortened(name)!r}{nearest(name, self._names)} "
                    f"(known: {', '.join(self._names)})"
                )
        if any("=" not in text for text in self.places) and len(self._sets) > 1:
            sets = ", ".join(f"{path or name}" for name, path in self._sets)
            raise UnskipError(f"the runs are on {sets}: say `data` once for each, as NAME=PATH")
