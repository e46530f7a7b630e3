"""Runtimes of devices that are not here: their compilers say what a network will cost there."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from unskip.errors import UnskipError, nearest
from unskip.records import Estimate
from unskip.runtimes.base import Runtime

SRAM = "sram"
"""The option of a setting that says how many bytes of SRAM a program may use."""


@dataclass(frozen=True)
class Configuration:
    """A device and how it is set up, in the words of its compiler.

    ``target`` names the device, ``setting`` has the value of every option that the compiler is given. ``runtime`` is
    the name of the one that asks that compiler.
    """

    runtime: str
    target: str
    setting: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """``ethos-u65-256 (Ethos_U65_High_End, Dedicated_Sram_384KB, optimised for speed)``."""
        words = [_words(name, value) for name, value in self.setting.items()]
        return f"{self.target} ({', '.join(words)})" if words else self.target

    def __hash__(self) -> int:
        return hash(str(self))


class Estimator(Runtime):
    """A runtime whose files run on devices: ``targets`` by name, each with an ending of its own, in their order.

    Answers are computed here by a model of the device's arithmetic; time is never measured, but estimated by the
    device's compiler, as is the memory. ``options`` are what its setting can say, with what each means.
    """

    targets: ClassVar[tuple[str, ...]]
    options: ClassVar[Mapping[str, str]] = {}

    def ending(self, target: str) -> str:
        """That of the files for a device: ``.ethos-u65-256.pte``."""
        return self.endings[self.targets.index(target)]

    def configured(self, target: str, setting: Mapping[str, str]) -> Configuration:
        """A device with these options, and the usual value for each other.

        Raises `UnskipError` for what it does not have, and where its compiler is not installed.
        """
        self.require()
        for option in setting:
            if option not in self.options:
                has = f"it has {', '.join(f'`{name}`' for name in self.options)}" if self.options else "it has none"
                raise UnskipError(f"`{option}` is no option of {target}; {has}")
        return Configuration(self.name, target, self._complete(target, setting))

    def meanings(self, configuration: Configuration) -> Mapping[str, str]:
        """What the words of a setting mean, a sentence without its full stop for each that needs one."""
        return {}

    def with_sram(self, configuration: Configuration, num_bytes: int) -> Configuration:
        """A device whose compiler is told how much SRAM there is, where it can be told; else the device as it is."""
        if SRAM not in self.options:
            return configuration
        return self.configured(configuration.target, {**configuration.setting, SRAM: str(num_bytes)})

    def sram_bytes(self, configuration: Configuration) -> int | None:
        """The SRAM that a setting gives a program; None where it names no size."""
        size = configuration.setting.get(SRAM)
        return None if size is None else int(size)

    @abstractmethod
    def configuration(self, path: Path) -> Configuration:
        """What a file was compiled for."""

    @abstractmethod
    def estimate(self, path: Path) -> Estimate:
        """What one inference of a file costs on the device that it was compiled for."""

    @abstractmethod
    def _complete(self, target: str, setting: Mapping[str, str]) -> Mapping[str, str]:
        """Every option with its value; `UnskipError` for values that are unknown or do not go with the target."""


def _words(option: str, value: str) -> str:
    """A value of a setting in a sentence."""
    if option == SRAM:
        return f"{int(value) / 1024:,.4g} KiB of SRAM"
    return f"optimised for {value}" if option == "optimise" else value


def known_word(option: str, word: str, words: tuple[str, ...]) -> str:
    """A word for an option, if it is one of the known ones, in their spelling; else `UnskipError`."""
    for each in words:
        if each.lower() == word.lower():
            return each
    raise UnskipError(f"`{option}` {word!r}{nearest(word, words)}: expected one of {', '.join(words)}")
