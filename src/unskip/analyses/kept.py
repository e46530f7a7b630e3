"""What no edit changes: branches that are not shortcuts, and modules that could not be opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from rich.console import Console, RenderableType
from rich.text import Text

from unskip.analyses.base import Analysis, Network
from unskip.terminal import bare_table


@dataclass(frozen=True)
class Kept(Analysis):
    """``branches`` have the reasons why they stay, by place; ``additions`` of two maps are in them.

    ``unopened`` are modules that could not be looked into, by their names in the original, with the reason; ``unknown``
    says so in words and is empty where there are none.
    """

    order: ClassVar[int] = 30

    branches: Mapping[str, str]
    additions: int
    unopened: Mapping[str, str]
    unknown: str

    @classmethod
    def of(cls, network: Network) -> Self:
        """Find what parsing left alone."""
        from unskip.nets import kept_branches, num_kept_additions, unknown_shortcuts, unopened_modules

        net = network.net
        return cls(kept_branches(net), num_kept_additions(net), unopened_modules(net), unknown_shortcuts(net))

    @property
    def nothing_to_remove(self) -> str:
        """What is said of a network without a shortcut that could be removed."""
        if self.unknown:
            return f"No shortcut was found that can be removed, but {self.unknown}."
        if self.additions:
            return (
                "This network has no shortcut that can be removed; additions of maps that stay as they are: "
                f"{self.additions}."
            )
        return "This network has no shortcuts, so there is nothing to remove."

    def show(self, console: Console) -> Iterator[RenderableType]:
        """How many branches stay; what could not be opened is part of the verdict."""
        if self.branches:
            count = len(self.branches)
            stay = "branch stays as it is" if count == 1 else "branches stay as they are"
            yield Text(f"{count} {stay}, with {self.additions} addition{'s' * (self.additions != 1)} of two maps.")

    def details(self, console: Console) -> Iterator[RenderableType]:
        """A row for every reason, and for every module that is closed."""
        if self.branches:
            first = {reason: place for place, reason in reversed(list(self.branches.items()))}
            yield bare_table(
                "stays as it is",
                ("branches", "<first", "~because"),
                ((str(count), first[reason], reason) for reason, count in Counter(self.branches.values()).items()),
            )
        if self.unopened:
            yield bare_table(
                "not opened, with shortcuts or without", ("<in the original", "~because"), self.unopened.items()
            )
