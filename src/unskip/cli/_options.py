"""Options that several commands have, and the texts that they take."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from unskip.cli import _completion
from unskip.errors import UnskipError, shortened

if TYPE_CHECKING:
    from unskip.runtimes import Configuration


def finite(value: float | None) -> float | None:
    """A number that is no infinity and no NaN, which an option's type lets through."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no finite number")
    return value


def parse_size(text: str | None) -> tuple[int, int] | None:
    """(height, width) in pixels as ``--image-size`` says it: a side, ``96``, or both, ``96x64``; None for none."""
    if text is None:
        return None
    from unskip.recipe.data import LARGEST_SIDE, SMALLEST_SIDE

    words = text.lower().split("x")
    sides = [int(word) if word.isdecimal() and len(word) < 9 else 0 for word in words]
    if len(sides) > 2 or not all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in sides):
        raise UnskipError(
            f"--image-size {text!r}: expected a side in pixels, from {SMALLEST_SIDE} to {LARGEST_SIDE}, such as 96, or "
            "height and width, such as 96x64"
        )
    return sides[0], sides[-1]


def names_in(text: str) -> tuple[str, ...]:
    """Names that are separated by commas, each once."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def numbers_in(option: str, text: str, most: int) -> tuple[int, ...]:
    """Whole numbers from 1 to ``most``, separated by commas, each once; `UnskipError`, naming the option, otherwise."""
    words = names_in(text)
    if not words or not all(word.isdecimal() and len(word) < 10 and 1 <= int(word) <= most for word in words):
        raise UnskipError(
            f"{option} {shortened(text)!r}: expected whole numbers of 1 or more, up to {most:,}, such as 1,8"
        )
    return tuple(dict.fromkeys(map(int, words)))


def _allow(modules: list[str] | None) -> list[str] | None:
    if modules:
        from unskip.own_code import allow_module

        for name in modules:
            allow_module(name)
    return modules


# What stands before KEY in the metavar of --set is what all its keys begin with: see _sentences.py.
NetSettings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="OPTION=VALUE", help="An option of the net, such as width=32. Repeat for more."),
]
DataSettings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="data.KEY=VALUE", help="Change a field of the data, such as data.test_limit=1000."),
]
DataName = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="DATA",
        autocompletion=_completion.data,
        help="digits, cifar10, cifar100, or a folder: class folders, Parquet files, or images without classes.",
    ),
]
AllowedModules = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-module",
        metavar="NAME",
        callback=_allow,
        help="A module of your own whose networks, methods and scores files may name. Repeat for more.",
    ),
]
NetLabel = Annotated[
    str | None,
    typer.Option("--net", metavar="LABEL", help="Another network of the run folder, such as teacher."),
]
FileDepth = Annotated[
    str | None,
    typer.Option(
        "--depth", metavar="DEPTH", help="Which network of a file of several depths; by default the full one."
    ),
]
ImageSize = Annotated[
    str | None,
    typer.Option(
        "--image-size",
        metavar="SIZE",
        help="Side in pixels, or height and width, such as 96x64; by default as the net expects.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print everything as JSON.")]
Device = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="DEVICE",
        autocompletion=_completion.devices,
        help="A device whose compiler is asked, without the device itself: ethos-u55-128, ethos-u65-256, "
        "ethos-u85-256, cortex-m55 and others.",
    ),
]
SystemConfig = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="With --target: clock and memory speed, by Vela's name, such as Ethos_U65_High_End."
    ),
]
MemoryMode = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="With --target: what lies in which memory, by Vela's name: Sram_Only, Shared_Sram (weights in flash), "
        "Dedicated_Sram_384KB (a cache in front of DRAM) and others.",
    ),
]
Optimise = Annotated[
    str | None, typer.Option(metavar="AIM", help="With --target: for speed, or size, which needs the least SRAM.")
]

Sram = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="With --target: the SRAM that the compiler may use, such as 256KiB; by default that of the memory mode.",
    ),
]
Compiles = Annotated[
    int | None,
    typer.Option(min=1, max=10_000, metavar="NUMBER", help="With --target: the most networks to compile."),
]


def runtimes_here() -> str:
    """The names of the runtimes that run on this machine, for helps."""
    from unskip.runtimes import names_here

    return ", ".join(names_here())


def devices_in(
    targets: str | None,
    system_config: str | None,
    memory_mode: str | None,
    optimise: str | None,
    sram: str | None = None,
) -> tuple[Configuration, ...]:
    """The devices that ``--target`` and the options of its setting name, with commas; none without it.

    ``--optimise both`` names each twice.
    """
    from unskip.runtimes import configured

    setting_texts = {"system_config": system_config, "memory_mode": memory_mode, "optimise": optimise, "sram": sram}
    if sram is not None:
        from unskip.units import bytes_from

        setting_texts["sram"] = str(int(bytes_from(sram, "sram")))
    setting = {name: value for name, value in setting_texts.items() if value is not None}
    if targets is None:
        if setting:
            raise UnskipError(f"`{next(iter(setting))}` belongs to `target`")
        return ()
    aims = ("speed", "size") if optimise == "both" else (optimise,)
    settings = [setting | ({"optimise": aim} if aim else {}) for aim in aims]
    return tuple(configured(target, each) for target in names_in(targets) for each in settings)


def device_in(
    target: str | None, system_config: str | None, memory_mode: str | None, optimise: str | None
) -> Configuration | None:
    """The one device that they name, if any."""
    devices = devices_in(target, system_config, memory_mode, optimise)
    if len(devices) > 1:
        raise UnskipError("`target` names one device here; name the others in commands of their own")
    return devices[0] if devices else None
