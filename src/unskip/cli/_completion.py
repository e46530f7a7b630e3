"""What a shell offers for an argument: names that are found by listing, and files where a name may be one.

Only networks' names need torch, so that their first completion takes a second or two.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from unskip.listing import listed_names, named_recipes, named_studies


def recipes(incomplete: str) -> list[str]:
    """Recipes that come with unskip, and YAML files."""
    return _beginning(named_recipes(), incomplete) + _files(incomplete, ".yaml")


def studies(incomplete: str) -> list[str]:
    """Studies that come with unskip, and YAML files."""
    return _beginning(named_studies(), incomplete) + _files(incomplete, ".yaml")


def engines(incomplete: str) -> list[str]:
    """Ways to carry out a study."""
    return _beginning(listed_names("unskip.study.engines"), incomplete)


def nets(incomplete: str) -> list[str]:
    """Networks by name, weights files, and folders, which may be runs."""
    from unskip.nets import NETS

    return _beginning(NETS, incomplete) + _files(incomplete, ".safetensors", ".pth", ".pt")


def methods(incomplete: str) -> list[str]:
    """Distillation methods."""
    return _beginning(listed_names("unskip.methods"), incomplete)


def run_analyses(incomplete: str) -> list[str]:
    """Analyses of trained runs."""
    return _beginning(listed_names("unskip.run_analyses"), incomplete)


def formats(incomplete: str) -> list[str]:
    """Formats of deployed files."""
    return _beginning(listed_names("unskip.export.formats"), incomplete)


def runtimes(incomplete: str) -> list[str]:
    """Runtimes on this machine, the last one behind commas."""
    from unskip.runtimes import names_here

    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in _beginning(names_here(), last)]


def devices(incomplete: str) -> list[str]:
    """Devices whose compilers are asked."""
    from unskip.runtimes import estimators

    return _beginning((name for estimator in estimators() for name in estimator.targets), incomplete)


def data(incomplete: str) -> list[str]:
    """Data by name, and folders."""
    return _beginning(("digits", "cifar10", "cifar100"), incomplete) + _files(incomplete)


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _files(incomplete: str, *endings: str) -> list[str]:
    """Folders, with a slash behind, and files with these endings that an incomplete path may mean."""
    folder, slash, begun = incomplete.rpartition("/")
    try:
        entries = sorted(Path(f"{folder}{slash}" or ".").iterdir())
    except OSError:
        return []
    seen = [entry for entry in entries if entry.name.startswith(begun) and not entry.name.startswith(".")]
    return [
        f"{folder}{slash}{entry.name}{'/' if entry.is_dir() else ''}"
        for entry in seen
        if entry.is_dir() or entry.suffix in endings
    ]
