"""The files that are timed: deployed ones as they are, networks exported for every runtime and batch size."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from unskip.bench.targets import Target
from unskip.errors import UnskipError
from unskip.export import export_net, export_untrained, format_for
from unskip.report.bench_record import FileParity
from unskip.runtimes import RUNTIMES, Runtime

__all__ = ["Files", "TimedFile"]

PARITY_IMAGES = 16


@dataclass(frozen=True)
class TimedFile:
    """A deployed file; its bytes and the SHA-256 of its content count all that belongs to it."""

    path: Path
    num_bytes: int
    sha256: str
    parity: FileParity | None


class Files:
    """Files for runtimes, each network exported once for a format and a batch size, into ``folder``.

    ``test_images`` gives images on which an export is proved, None for random ones.
    """

    def __init__(self, folder: Path, test_images: Callable[[Target, int], Tensor | None]) -> None:
        self._folder = folder
        self._test_images = test_images
        self._made: dict[tuple[str, str, int], TimedFile | UnskipError] = {}

    def file_for(self, target: Target, runtime: Runtime, batch_size: int) -> TimedFile:
        """What a runtime is given to run a target; `UnskipError` where it cannot, or the export is refused."""
        if target.file is not None:
            _check_runs(target.file, runtime)
            return _timed_file(target.file, None)
        place = target.label, runtime.endings[0], batch_size
        if place not in self._made:
            try:
                self._made[place] = self._export(target, *place[1:])
            except UnskipError as error:
                self._made[place] = error
        made = self._made[place]
        if isinstance(made, UnskipError):
            raise made
        return made

    def _export(self, target: Target, ending: str, batch_size: int) -> TimedFile:
        assert target.net is not None
        path = self._folder / str(len(self._made)) / f"{_file_name(target.label)}-{batch_size}{ending}"
        path.parent.mkdir()
        real = False
        if target.home is None:
            exported = export_untrained(target.net, path, target.input_shape, batch_size=batch_size)
        else:
            images = self._test_images(target, PARITY_IMAGES)
            real = images is not None
            if images is None:
                shape = (PARITY_IMAGES, *target.input_shape)
                images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
            metadata = None if target.info is None else target.info.to_json() | {"label": target.label}
            exported = export_net(target.net, path, images, metadata=metadata, batch_size=batch_size)
        parity = FileParity(
            max_difference=exported.max_difference,
            agreement=exported.agreement,
            images=exported.images,
            real_images=real,
        )
        return _timed_file(path, parity)


def _check_runs(file: Path, runtime: Runtime) -> None:
    ending = file.suffix.lower()
    if ending not in runtime.endings:
        able = [other.title for other in RUNTIMES.values() if ending in other.endings]
        raise UnskipError(
            f"{runtime.title} does not run {ending} files; {' and '.join(able)} {'do' if len(able) > 1 else 'does'}"
        )


def _timed_file(path: Path, parity: FileParity | None) -> TimedFile:
    digest, size = hashlib.sha256(), 0
    for part in filter(Path.is_file, format_for(path).files(path)):
        content = part.read_bytes()
        digest.update(content)
        size += len(content)
    return TimedFile(path, size, digest.hexdigest(), parity)


def _file_name(label: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in Path(label).name)[:80]
