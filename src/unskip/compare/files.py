"""The files that are measured: deployed ones as they are, networks exported for every runtime and batch size."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from unskip.compare.targets import Target
from unskip.compare.test_sets import TestSet
from unskip.errors import UnskipError
from unskip.export import export_net, export_untrained, format_for
from unskip.measures import Proof
from unskip.runtimes import Runtime, runtimes

__all__ = ["DeployedFile", "Exports", "Files"]


@dataclass(frozen=True)
class Exports:
    """How networks become files.

    ``place`` says where the file of a label, for a batch size, with an ending lies, below ``folder``. It is compared
    with its network on ``images`` test images. ``normalizes``: it normalises by itself. ``any_batch``: one file takes
    every batch size, where its format can.
    """

    folder: Path
    place: Callable[[str, int, str], Path]
    images: int = 16
    normalizes: bool = False
    any_batch: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DeployedFile:
    """A deployed file, as a record calls it; its bytes and the SHA-256 of its content count all that belongs to it.

    ``proof`` is None where it was not exported here; ``normalizes``: it takes images scaled to 0..1.
    """

    path: Path
    name: str
    num_bytes: int
    sha256: str
    proof: Proof | None = None
    normalizes: bool = False


class Files:
    """Files for runtimes, each network exported once for a format and a batch size.

    ``test_set`` gives what an export is proved on; random images take the place of what is not known.
    """

    def __init__(self, exports: Exports, test_set: Callable[[Target], TestSet | str]) -> None:
        self._exports = exports
        self._test_set = test_set
        self._known: dict[tuple[str, str, int | None], DeployedFile | UnskipError] = {}

    def file_for(self, target: Target, runtime: Runtime, batch_size: int) -> DeployedFile:
        """What a runtime is given to run a target; `UnskipError` where it cannot, or the export is refused."""
        if target.file is not None:
            _check_runs(target.file, runtime)
            return _deployed(target.file, str(target.file))
        ending = runtime.endings[0]
        free = self._exports.any_batch and format_for(Path(f"file{ending}")).free_batch
        place = target.label, ending, None if free else batch_size
        if place not in self._known:
            try:
                self._known[place] = self._export(target, ending, batch_size, free)
            except UnskipError as error:
                self._known[place] = error
        known = self._known[place]
        if isinstance(known, UnskipError):
            raise known
        return known

    def _export(self, target: Target, ending: str, batch_size: int, free: bool) -> DeployedFile:
        assert target.net is not None
        path = self._exports.place(target.label, batch_size, ending)
        path.parent.mkdir(parents=True, exist_ok=True)
        size = None if free else batch_size
        tests = self._test_set(target)
        if target.info is None:
            exported = export_untrained(target.net, path, target.input_shape, batch_size=size)
        else:
            inside = self._exports.normalizes
            count = self._exports.images
            if isinstance(tests, str):
                images = torch.randn(count, *target.input_shape, generator=torch.Generator().manual_seed(0))
            else:
                images = (tests.data.scaled() if inside else tests.data).test_images(count)
            exported = export_net(
                target.net,
                path,
                images,
                metadata=target.info.to_json() | {"label": target.label} | dict(self._exports.metadata),
                normalization=(target.info.mean, target.info.std) if inside else None,
                batch_size=size,
            )
        proof = Proof(
            max_difference=exported.max_difference,
            tolerance=exported.tolerance,
            same=exported.agreement,
            images=exported.images,
            real_images=target.info is not None and not isinstance(tests, str),
            constant=exported.constant,
        )
        name = path.relative_to(self._exports.folder).as_posix()
        return _deployed(path, name, proof, target.info is not None and self._exports.normalizes)


def _check_runs(file: Path, runtime: Runtime) -> None:
    ending = file.suffix.lower()
    if ending not in runtime.endings:
        able = [other.title for other in runtimes() if ending in other.endings]
        raise UnskipError(
            f"{runtime.title} does not run {ending} files; {' and '.join(able)} {'do' if len(able) > 1 else 'does'}"
        )


def _deployed(path: Path, name: str, proof: Proof | None = None, normalizes: bool = False) -> DeployedFile:
    digest, size = hashlib.sha256(), 0
    for part in filter(Path.is_file, format_for(path).files(path)):
        content = part.read_bytes()
        digest.update(content)
        size += len(content)
    return DeployedFile(path, name, size, digest.hexdigest(), proof, normalizes)
