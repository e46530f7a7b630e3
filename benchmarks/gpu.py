"""What this package does on a GPU, within a limit of time: speed, memory, and as much of AlignKD's table 1 as fits.

    python benchmarks/gpu.py --data CIFAR --minutes 9 --json gpu.json
    python benchmarks/gpu.py --only check steps --net resnet18-cifar --batch-sizes 512 128

In this order, each figure printed, and written to the JSON file, as soon as it is known:

- ``check``: every method trains a small network by `unskip.distill`; losses, and where the weights are.
- ``steps``: images/s and peak memory of every method's step (the training's own, augmentation aside; a method of
  several phases by its epochs), eager and compiled, bf16 and channels-last, with an equal frozen teacher; and how long
  compiling took. Images are random and lie on the device.
- ``loop``: the share of an epoch that is spent outside of its steps: batches, augmentation, sums, the checks.
- ``training``: AlignKD's first row, ResNet-18 and its plain student by AlignKD on CIFAR-10: 200 epochs and three seeds
  if they fit into what is left of the time, else one seed, else 60 epochs, else as many as fit.

Without a GPU everything runs on the CPU, which is good for small sizes (``--width 4 --batch-sizes 16 --seconds 0.1``).
It needs PyTorch 2.11 to 2.13 and the package, no torchvision. ``--data`` is CIFAR-10 as `unskip run --data` takes it.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import unskip
from unskip.data import Data, load_data, recipe_for
from unskip.environment import describe_environment
from unskip.errors import UnskipError
from unskip.methods import METHODS
from unskip.methods.base import Phase
from unskip.nets import StagedNet
from unskip.recipe import SGD, Constant, TrainingRecipe
from unskip.training.device import describe_numerics, image_layout, make_fabric, place
from unskip.training.duration import estimate
from unskip.training.phase import running

PARTS = ("check", "steps", "loop", "training")
LENGTHS = ((200, 3), (200, 1), (60, 3), (60, 1), (30, 1), (10, 1), (2, 1))  # epochs, seeds; the first that fits
ROOM = 0.9  # of the time that is left, which an estimate may fill


class Figures:
    """Figures as they become known: on the screen, and in a file that is whole after each."""

    def __init__(self, path: Path | None, seconds: float) -> None:
        self.path, self.ends, self.known = path, time.monotonic() + seconds, list[dict[str, Any]]()

    @property
    def left(self) -> float:
        """Seconds until the limit."""
        return self.ends - time.monotonic()

    def add(self, part: str, **figures: Any) -> None:
        """One more row."""
        self.known.append({"part": part, **figures})
        print(f"{part:9}", "  ".join(f"{name} {_shown(value)}" for name, value in figures.items()), flush=True)
        if self.path is not None:
            self.path.write_text(json.dumps(self.known, indent=1) + "\n")


def _shown(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def networks(net: str, width: int, channels: int = 3, seed: int = 0) -> tuple[StagedNet, StagedNet]:
    """A teacher for ten classes and the plain student that is made of it."""
    torch.manual_seed(seed)
    teacher = unskip.make_net(net, {"width": width, "num_classes": 10, "in_channels": channels})
    return teacher, unskip.plain(teacher)


def check(figures: Figures) -> None:
    """Train a small network by every method."""
    images = torch.randn(128, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    labels = torch.randint(10, (128,), generator=torch.Generator().manual_seed(2))
    loader = DataLoader(TensorDataset(images, labels), batch_size=32)
    for name, kind in METHODS.items():
        epochs = 5 if name == "stagewise_kd" else 2
        settings = TrainingRecipe(
            epochs=epochs, precision="float32", optimizer=SGD(lr=0.01), schedule=Constant(), validate_every=epochs
        )
        trained = unskip.distill(networks("resnet14", 8)[0], loader, kind(), training=settings)
        losses = [record["loss"] for record in trained.history]
        places = sorted({parameter.device.type for parameter in trained.student.parameters()})
        figures.add("check", method=name, first_loss=losses[0], last_loss=losses[-1], weights_on=" ".join(places))


def steps(figures: Figures, net: str, width: int, batch_sizes: Sequence[int], seconds: float, until: float) -> None:
    """Time every method's step eager and compiled, until ``until`` seconds are left."""
    for batch_size in batch_sizes:
        for name in dict.fromkeys(["ce", "kd", "align_kd", "joint_rd", *METHODS]):
            for compiled in (False, True):
                if figures.left < until:
                    figures.add("steps", left_out="the time is for the training now")
                    return
                _step(figures, name, net, width, batch_size, seconds, compiled=compiled)


def _step(
    figures: Figures, name: str, net: str, width: int, batch_size: int, seconds: float, *, compiled: bool
) -> None:
    settings = TrainingRecipe(batch_size=batch_size, schedule=Constant(), channels_last=True, compile=compiled)
    fabric = make_fabric(settings)
    teacher, student = networks(net, width)
    method = METHODS[name]()
    wanted = teacher if name in ("embedded_kd", "stagewise_kd") else student
    loss = method.loss(teacher, copy.deepcopy(wanted), epochs=settings.epochs)
    place(loss, fabric, settings)
    images = torch.randn(batch_size, 3, 32, 32, device=fabric.device).contiguous(memory_format=image_layout(settings))
    labels = torch.randint(10, (batch_size,), device=fabric.device)
    _forget_peak(fabric)
    began, mean = time.monotonic(), 0.0
    try:
        for phase in loss.phases:
            share = phase.epochs / sum(each.epochs for each in loss.phases)
            mean += share * _seconds_of(phase, fabric, settings, images, labels, seconds / len(loss.phases))
    except (UnskipError, RuntimeError) as error:  # the others are still worth knowing
        figures.add("steps", method=name, batch=batch_size, compiled=compiled, failed=str(error)[:300])
        return
    taken = time.monotonic() - began - seconds
    figures.add(
        "steps",
        method=name,
        batch=batch_size,
        compiled=compiled,
        images_per_second=batch_size / mean,
        milliseconds=1000 * mean,
        peak_MiB=_peak(fabric),
        getting_ready_s=max(taken, 0.0),
    )


def _seconds_of(
    phase: Phase, fabric: Fabric, settings: TrainingRecipe, images: Tensor, labels: Tensor, seconds: float
) -> float:
    """Seconds a step, by all steps between two synchronisations."""
    with running(phase, fabric=fabric, settings=settings, steps_per_epoch=1) as run:
        run.objective.train()

        def take(count: int) -> float:
            _wait(fabric)
            began = time.perf_counter()
            for _ in range(count):
                run.step(images, labels, 0.5)
            _wait(fabric)
            return time.perf_counter() - began

        take(5)
        count = max(3, round(3 * seconds / take(3)))
        return take(count) / count


def loop(figures: Figures, data: Data, net: str, width: int, batch_size: int) -> None:
    """What an epoch takes over its steps alone, with AlignKD."""
    settings = TrainingRecipe(
        epochs=2, batch_size=batch_size, schedule=Constant(), validate_every=2, channels_last=True
    )
    teacher, student = networks(net, width, data.image_shape[0])
    loss = METHODS["align_kd"]().loss(teacher, copy.deepcopy(student), epochs=2)
    fabric = make_fabric(settings)
    place(loss, fabric, settings)
    images, labels = next(iter(data.train_batches(batch_size, 0, channels_last=True).epoch(0)))
    step = _seconds_of(loss.phases[0], fabric, settings, images, labels, 2.0)
    trained = unskip.distill(teacher, data, METHODS["align_kd"](), student=student, training=settings)
    epoch = trained.history[1]["seconds"] - trained.history[0]["seconds"]
    count = len(data.train_batches(batch_size, 0))
    figures.add(
        "loop",
        method="align_kd",
        batch=batch_size,
        images_per_second=trained.history[1]["images_per_second"],
        outside_of_steps=1 - count * step / epoch,
        numerics=trained.history[1]["numerics"],
    )


def training(figures: Figures, data: Data, net: str, width: int, batch_size: int) -> None:
    """AlignKD's first row, as long and as often as the time allows."""
    teacher, _ = networks(net, width, data.image_shape[0])
    settings = _settings(1, batch_size)
    parts = (
        estimate(None, data, METHODS["ce"](), student=teacher, training=settings, within=3.0),
        estimate(teacher, data, METHODS["align_kd"](), training=settings, within=3.0),
    )
    an_epoch = sum(part.seconds_per_step * part.steps for part in parts)
    validating = 2 * sum(part.seconds_per_validation * part.validations for part in parts)
    figures.add("training", seconds_an_epoch_of_both=an_epoch, seconds_left=figures.left)
    fits = [(e, s) for e, s in LENGTHS if s * (e * an_epoch + validating) < ROOM * figures.left]
    epochs, seeds = fits[0] if fits else LENGTHS[-1]
    for seed in range(seeds):
        teacher, _ = networks(net, width, data.image_shape[0], seed)
        found = {}
        for name in ("teacher", "align_kd"):
            learns, method = (None, METHODS["ce"]()) if name == "teacher" else (teacher, METHODS["align_kd"]())
            student = teacher if learns is None else None
            began = time.monotonic()
            trained = unskip.distill(
                learns, data, method, student=student, training=_settings(epochs, batch_size), seed=seed
            )
            last = trained.history[-1]
            found[name] = last["score"]
            figures.add(
                "training",
                net=name,
                seed=seed,
                epochs=epochs,
                accuracy=last["score"],
                seconds=time.monotonic() - began,
                images_per_second=last["images_per_second"],
                numerics=last["numerics"],
            )
        figures.add("training", seed=seed, student_less_teacher=found["align_kd"] - found["teacher"])


def _settings(epochs: int, batch_size: int) -> TrainingRecipe:
    """AlignKD's, as its recipe has them."""
    paper = unskip.load_recipe("alignkd").training
    return paper.model_copy(update={"epochs": epochs, "batch_size": batch_size, "validate_every": max(1, epochs // 2)})


def _wait(fabric: Fabric) -> None:
    if fabric.device.type == "cuda":
        torch.cuda.synchronize(fabric.device)


def _forget_peak(fabric: Fabric) -> None:
    if fabric.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(fabric.device)


def _peak(fabric: Fabric) -> float | None:
    return torch.cuda.max_memory_allocated(fabric.device) / 2**20 if fabric.device.type == "cuda" else None


def main(words: Sequence[str] | None = None) -> None:
    """Print what this device is, and the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--data", metavar="CIFAR", help="needed by loop and training")
    parser.add_argument("--limit", type=int, help="training images; all by default")
    parser.add_argument("--minutes", type=float, default=9.0, help="the limit, of which a third is for the training")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--net", default="resnet18-cifar")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[512, 128])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each step's measurement")
    given = parser.parse_args(words)
    if given.data is None and {"loop", "training"} & set(given.only):
        parser.error("loop and training need --data; or ask for --only check steps")
    figures = Figures(given.json, 60 * given.minutes)
    figures.add("machine", **describe_environment(), numerics=describe_numerics(TrainingRecipe()))
    share = 60 * given.minutes / 3 if "training" in given.only else 0.0
    data = None if given.data is None else load_data(recipe_for(given.data).model_copy(update={"limit": given.limit}))
    for part in given.only:
        if part == "check":
            check(figures)
        elif part == "steps":
            steps(figures, given.net, given.width, given.batch_sizes, given.seconds, share)
        elif data is not None:
            measure = loop if part == "loop" else training
            measure(figures, data, given.net, given.width, given.batch_sizes[-1])


if __name__ == "__main__":
    main()
