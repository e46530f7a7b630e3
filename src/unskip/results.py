"""Everything that a run's networks are exported to and measured by, as the plain data of ``run.json``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import torch

from unskip.data import Data
from unskip.dataflow import MemoryTimeline, count_macs, forecast, num_parameters
from unskip.environment import describe_environment, package_version
from unskip.evaluation import evaluate, evaluate_file
from unskip.export import export_net
from unskip.measure import Latency, measure_latency, speedup
from unskip.nets import NetSpec, StagedNet, unopened_modules
from unskip.recipe import Recipe
from unskip.run_folder import RunFolder
from unskip.surgery import residual_blocks
from unskip.tasks import Score

__all__ = ["Trained", "gather_results"]


@dataclass
class Trained:
    """A network that is ready to be exported and measured. ``role`` is ``teacher`` or ``student``.

    ``training`` is the label of the training that it comes out of, by default its own: several networks may share one,
    and the first of them is the one that was validated meanwhile. ``score``: where it was evaluated already.
    """

    label: str
    role: str
    net: StagedNet
    method: str | None
    history: list[dict[str, Any]]
    reused: bool = False
    training: str = ""
    score: Score | None = None

    def __post_init__(self) -> None:
        self.training = self.training or self.label


def gather_results(
    nets: Sequence[Trained],
    recipe: Recipe,
    data: Data,
    folder: RunFolder,
    *,
    device: torch.device,
    say: Callable[[str], None],
    started: float,
) -> dict[str, Any]:
    """Export all networks, the teacher first among them, measure them, and return what ``run.json`` holds.

    The best student is the one with the highest top-1 after its last epoch. ``started`` is the run's start as a Unix
    time.
    """
    rows = []
    for trained in nets:
        # A training may have left it channels-last, and one that was resumed has not: equal runs, equal figures.
        trained.net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        say(f"{trained.label}: exporting and measuring")
        rows.append(_net_row(trained, recipe, data, folder, device))
    best = max((row for row in rows if row["role"] == "student"), key=lambda row: row["top1"])
    student = next(trained for trained in nets if trained.label == best["label"])
    timelines = {
        role: forecast(net.net, data.image_shape) for role, net in (("teacher", nets[0]), ("student", student))
    }
    latencies = _latencies(rows, recipe, data, folder) if recipe.measure.latency else {}
    return {
        "unskip": package_version(),
        "title": recipe.title or f"{recipe.teacher.net} on {data.name}",
        "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        "seconds": time.time() - started,
        "best": best["label"],
        "seed": recipe.seed,
        "data": {
            "name": data.name,
            "path": recipe.data.path,
            "num_train": data.num_train,
            "num_test": data.num_test,
            "classes": list(data.classes),
            "image_shape": list(data.image_shape),
            "fingerprint": data.fingerprint,
            "chance": nets[0].score and nets[0].score.chance,
        },
        "nets": [row | {"latency": _latency_row(latencies.get(row["label"]))} for row in rows],
        "history": {trained.training: trained.history for trained in nets},
        "memory": {
            "policy": timelines["teacher"].policy,
            "nets": {role: _timeline_row(timeline) for role, timeline in timelines.items()},
        },
        "latency": _latency_settings(latencies, recipe, best["label"]),
        "recipe": recipe.model_dump(mode="json"),
        "environment": describe_environment(),
    }


def _net_row(trained: Trained, recipe: Recipe, data: Data, folder: RunFolder, device: torch.device) -> dict[str, Any]:
    net = trained.net
    score = trained.score = trained.score or evaluate(net.to(device), data.test_batches(512).epoch(0))
    net.cpu()
    assert net.spec is not None
    path = folder.exported(trained.label)
    scaled = data.scaled()
    exported = export_net(
        net,
        path,
        scaled.test_images(recipe.measure.parity_images),
        metadata=data.info.to_json() | {"label": trained.label, "recipe": recipe.digest()},
        normalization=(data.mean, data.std),
    )
    return {
        "label": trained.label,
        "role": trained.role,
        "method": trained.method,
        "training": trained.training,
        "net": net.spec.source,
        "depth": _depth(net.spec),
        "shortcuts": len(residual_blocks(net)),
        "unopened": len(unopened_modules(net)),
        "epochs": len(trained.history),
        "training_seconds": trained.history[-1]["seconds"] if trained.history else None,
        "reused": trained.reused,
        "top1": score.value,
        "top5": score.figures.get("top5"),
        "parameters": num_parameters(net),
        "macs": count_macs(net, data.image_shape),
        "peak_bytes": forecast(net, data.image_shape).peak_bytes,
        "file": str(path.relative_to(folder.path)),
        "file_bytes": exported.file_bytes,
        "file_top1": evaluate_file(path, scaled.test_batches(256).epoch(0)).value,
        "parity": {
            "max_difference": exported.max_difference,
            "tolerance": exported.tolerance,
            "agreement": exported.agreement,
            "images": exported.images,
            "constant": exported.constant,
        },
    }


def _depth(spec: NetSpec) -> list[int] | None:
    """The blocks per stage of a sub-net; None for a network of all its blocks."""
    depths: list[list[int]] = [list(arguments["blocks"]) for name, arguments in spec.edits if name == "at_depth"]
    return depths[-1] if depths else None


def _timeline_row(timeline: MemoryTimeline) -> dict[str, Any]:
    return {
        "operations": [{"name": op.name, "live_bytes": op.live_bytes} for op in timeline.operations],
        "peak_bytes": timeline.peak_bytes,
        "peak_at": timeline.peak_at,
    }


def _latencies(
    rows: Sequence[Mapping[str, Any]], recipe: Recipe, data: Data, folder: RunFolder
) -> Mapping[str, Latency]:
    files = {row["label"]: folder.path / row["file"] for row in rows}
    measure = recipe.measure
    return measure_latency(
        files,
        data.image_shape,
        batch_size=measure.batch_size,
        threads=measure.threads,
        repeats=measure.repeats,
    )


def _latency_row(latency: Latency | None) -> dict[str, float] | None:
    if latency is None:
        return None
    return {"median_ms": latency.median_ms, "low_ms": latency.low_ms, "high_ms": latency.high_ms}


def _latency_settings(latencies: Mapping[str, Latency], recipe: Recipe, best: str) -> dict[str, Any] | None:
    if not latencies:
        return None
    return {
        "runtime": latencies["teacher"].runtime,
        "threads": recipe.measure.threads,
        "batch_size": recipe.measure.batch_size,
        "repeats": recipe.measure.repeats,
        "speedup": speedup(latencies["teacher"], latencies[best]).median,
    }
