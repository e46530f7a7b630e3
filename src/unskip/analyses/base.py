"""What an analysis is, and the network that it looks at."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from rich.console import Console, RenderableType

if TYPE_CHECKING:  # so that help, which names the analyses, need not wait for torch
    from unskip.nets import StagedNet
    from unskip.runtimes import Configuration


@dataclass(frozen=True)
class Analysis(ABC):
    """What one analysis found: the file's frozen dataclass, whose docstring says what the fields are.

    ``order`` is the place among the others where it is shown. One that ``takes_time`` is made only when it is named,
    with ``--also`` or `inspect_net`'s ``also``, one that ``needs_device`` only for a device. The head of the file is
    the card that help and docs show. A file imports torch inside of `of` only.
    """

    order: ClassVar[int] = 100
    takes_time: ClassVar[bool] = False
    needs_device: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def of(cls, network: Network) -> Self:
        """Analyse a network; `UnskipError` where that cannot be done."""

    @abstractmethod
    def show(self, console: Console) -> Iterator[RenderableType]:
        """What it comes to: tables and sentences, each printed with an empty line above; none to show nothing."""

    def details(self, console: Console) -> Iterator[RenderableType]:
        """What stands behind it, for those who ask for details: further tables, by default none."""
        yield from ()

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data for JSON."""
        return asdict(self)


A = TypeVar("A", bound=Analysis)


@dataclass(frozen=True)
class Target:
    """A device that is not here, for which networks are compiled.

    ``sram_bytes`` is the SRAM that it has for a program, None where nobody says; its compiler is told already.
    ``compiles`` is how many networks a search compiles at most, ``compiled`` is told how many of how many are.
    """

    device: Configuration
    sram_bytes: int | None = None
    compiles: int | None = None
    compiled: Callable[[int, int], None] = lambda done, of: None


class Network:
    """A network for analyses to look at: what several of them need is computed once.

    ``input_shape`` is ``(channels, height, width)`` of one image, ``target`` the device that it is to run on.
    """

    def __init__(self, net: StagedNet, input_shape: tuple[int, int, int], target: Target | None = None) -> None:
        self.net = net
        self.input_shape = input_shape
        self.target = target
        self._analyses: dict[type[Analysis], Analysis] = {}

    @cached_property
    def plain(self) -> StagedNet:
        """The network without its shortcuts."""
        from unskip.surgery import residual_blocks, without_shortcuts

        return without_shortcuts(self.net) if residual_blocks(self.net) else self.net

    def analysis(self, kind: type[A]) -> A:
        """What an analysis finds in this network."""
        if kind not in self._analyses:
            self._analyses[kind] = kind.of(self)
        analysis = self._analyses[kind]
        assert isinstance(analysis, kind)
        return analysis
