"""The files that are measured: deployed ones as they are, networks exported for every runtime and batch size."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from unskip.compare.targets import Target
from unskip.compare.test_sets import TestSetOf
from unskip.errors import UnskipError
from unskip.export import CALIBRATION_IMAGES, export_net, export_untrained, format_for
from unskip.measures.base import DeployedFile
from unskip.runtimes import Configuration, Estimator, Runtime, ending_of, runtimes


@dataclass
class Exports:
    """How networks become files, each of them once for a format and a batch size.

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
    _known: dict[tuple[str, str, int | None, str], DeployedFile | UnskipError] = field(default_factory=dict, init=False)

    def file_for(
        self,
        target: Target,
        runtime: Runtime,
        batch_size: int,
        test_set: TestSetOf,
        device: Configuration | None = None,
    ) -> DeployedFile:
        """What a runtime is given to run a target; `UnskipError` where it cannot, or the export is refused.

        It is proved on images of what ``test_set`` gives, on random ones where that is not known. ``device`` is the one
        that an `Estimator` compiles for.
        """
        if target.file is not None:
            _check_runs(target.file, runtime, device)
            return _deployed(target.file, str(target.file))
        ending = runtime.ending(device.target) if isinstance(runtime, Estimator) and device else runtime.endings[0]
        free = self.any_batch and format_for(Path(f"file{ending}")).free_batch
        place = target.label, ending, None if free else batch_size, str(device)
        if place not in self._known:
            try:
                path = self.place(target.label, batch_size, ending)
                self._known[place] = self._export(target, path, None if free else batch_size, test_set, device)
            except UnskipError as error:
                self._known[place] = error
        known = self._known[place]
        if isinstance(known, UnskipError):
            raise known
        return known

    def _export(
        self, target: Target, path: Path, size: int | None, test_set: TestSetOf, device: Configuration | None
    ) -> DeployedFile:
        assert target.net is not None
        path.parent.mkdir(parents=True, exist_ok=True)
        name = path.relative_to(self.folder).as_posix()
        if target.info is None:
            proof = export_untrained(target.net, path, target.input_shape, batch_size=size, device=device)
            return _deployed(path, name, proof=proof)
        tests, count, inside = test_set(target), self.images, self.normalizes
        float32 = format_for(path).float32
        if isinstance(tests, str):
            images = torch.randn(count, *target.input_shape, generator=torch.Generator().manual_seed(0))
            calibration = images
        else:
            data = tests.data.scaled() if inside else tests.data
            images = data.test_images(count)
            calibration = images if float32 else data.train_images(CALIBRATION_IMAGES, 0)
        proof = export_net(
            target.net,
            path,
            images,
            metadata=target.info.to_json() | {"label": target.label} | dict(self.metadata),
            normalization=(target.info.mean, target.info.std) if inside else None,
            batch_size=size,
            calibration=None if float32 else calibration,
            max_drop=None,  # the comparison shows what is lost
            device=device,
        )
        return _deployed(path, name, proof=proof, on_test_images=not isinstance(tests, str), normalizes=inside)


def _check_runs(file: Path, runtime: Runtime, device: Configuration | None) -> None:
    ending = ending_of(file)
    if ending not in runtime.endings:
        able = [other.title for other in runtimes() if ending in other.endings]
        do = "do" if len(able) > 1 else "does"
        raise UnskipError(f"{runtime.title} does not run {ending} files; {' and '.join(able)} {do}")
    if isinstance(runtime, Estimator) and device and runtime.configuration(file) != device:
        raise UnskipError(f"{file} was compiled for {runtime.configuration(file)}, not for {device}")


def _deployed(path: Path, name: str, **proved: Any) -> DeployedFile:
    digest, size, kind = hashlib.sha256(), 0, format_for(path)
    deployed = set(kind.deployed(path))
    for part in filter(Path.is_file, kind.files(path)):
        content = part.read_bytes()
        digest.update(content)
        size += len(content) if part in deployed else 0
    return DeployedFile(path=path, name=name, num_bytes=size, sha256=digest.hexdigest(), **proved)
