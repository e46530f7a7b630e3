"""What networks become on the target: files that are proved, and what these cost there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unskip.compare import Settings, Target, Workbench, find_targets
from unskip.data import Data
from unskip.deploying import TestPasses
from unskip.errors import UnskipError
from unskip.export import CALIBRATION_IMAGES, Exported, export_net, format_for
from unskip.measures import limits
from unskip.nets import StagedNet
from unskip.records import About, Cell, Figure
from unskip.runtimes import Estimator, find_runtime
from unskip.search.measuring import about_ratio, with_ratios
from unskip.shrink.shrink_request import Request
from unskip.tasks import Task

_IMAGES = 256  # on which a file must agree with its network
_FORECAST = "peak"


@dataclass(frozen=True)
class Costs:
    """What files cost, by label: figures by measure and by relative limit, and what the figures are."""

    figures: Mapping[str, Mapping[str, Figure]]
    sha256: Mapping[str, str | None]
    measures: Mapping[str, About]
    runtime: str


class OnTarget:
    """Exports networks for a request's target, and asks what the files cost; ``say`` is told what is being done."""

    def __init__(self, request: Request, say: Callable[[str], None]) -> None:
        self._request = request
        self._say = say
        device = request.device
        runtime = find_runtime(device.runtime if device else request.runtime)
        self.runtime = runtime
        self.ending = runtime.ending(device.target) if isinstance(runtime, Estimator) and device else runtime.endings[0]
        self.format = format_for(Path(f"net{self.ending}"))
        self.int8 = request.element == "int8" and self.format.float32
        if self.int8 and not self.format.int8:
            raise UnskipError(f"files for {runtime.title} are written in float32 only, so `element` cannot be int8")

    def export(self, net: StagedNet, label: str, folder: Path, data: Data, task: Task) -> Exported:
        """A file that takes images scaled to 0..1, proved on test images, with its score on all of them."""
        network_data = data.scaled()
        more: dict[str, Any] = {}
        if self.int8 or not self.format.float32:
            seed = self._request.recipe.seed
            more = {"calibration": network_data.train_images(CALIBRATION_IMAGES, seed), "max_drop": None}
        if self._request.device is not None:
            more["device"] = self._request.device
        return export_net(
            net,
            folder / f"{label}{self.ending}",
            network_data.test_images(_IMAGES),
            metadata=data.info.to_json() | {"label": label},
            normalization=(data.mean, data.std),
            task=task.scaled(data.mean, data.std),
            test=TestPasses(network_data),
            **more,
        )

    def costs(self, teacher: Path, students: Mapping[str, Path]) -> Costs:
        """What files cost side by side, the teacher's first."""
        files = {"teacher": teacher, **students}
        targets = find_targets([str(file) for file in files.values()])
        named = {label: replace(target, label=label) for label, target in zip(files, targets, strict=True)}
        return self._measured(named, timed=self._request.times_files)

    def costs_of_net(self, net: StagedNet, teacher: Path, input_shape: tuple[int, int, int]) -> Mapping[str, Figure]:
        """What a network costs with the weights that it has, before its file is proved on images."""
        (first,) = find_targets([str(teacher)])
        this = Target(net, input_shape, label="this", kind="net")
        return self._measured({"teacher": first, "this": this}, timed=False).figures["this"]

    def _measured(self, targets: Mapping[str, Target], *, timed: bool) -> Costs:
        request, names = self._request, list(targets)
        settings = Settings(
            () if request.device else (self.runtime.name,),
            (request.threads,),
            timed=timed,
            quick=True,
            devices=(request.device,) if request.device else (),
        )
        known = "their scores are known"
        with Workbench(settings, test_set=lambda target: known, say=self._say) as workbench:
            comparison = workbench.measure(list(targets.values()))
        (group,) = comparison.groups
        # On a device its SRAM counts, which the compiler knows, and not the forecast of live feature maps.
        left_out = {_FORECAST} - request.budget.most.keys() if request.device else set()
        cells = [
            cell.model_copy(update={"figures": _without(left_out, subject.figures) | cell.figures})
            for subject, cell in zip(comparison.subjects, group.cells, strict=True)
        ]
        figures = {name: _known(with_ratios(cells[0], cell)) for name, cell in zip(names, cells, strict=True)}
        hashes = {name: cell.sha256 for name, cell in zip(names, cells, strict=True)}
        ratios = {
            name: about_ratio(measure, limit)
            for name, (measure, limit) in limits().items()
            if limit.relative and name in figures["teacher"]
        }
        return Costs(figures, hashes, {**comparison.measures, **ratios}, group.runtime)


def _without(names: Set[str], figures: Mapping[str, Figure]) -> dict[str, Figure]:
    return {name: figure for name, figure in figures.items() if name not in names}


def _known(cell: Cell) -> dict[str, Figure]:
    """The figures that have a value."""
    return {name: figure for name, figure in cell.figures.items() if figure.value is not None}
