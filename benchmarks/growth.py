"""How the cost of a training grows: time of a step and memory over width, depth, image size, images and classes.

    python benchmarks/growth.py --json growth.json --picture growth.png
    python benchmarks/growth.py --axes width depth --method kd
    python benchmarks/growth.py --picture growth.png --drawn-from growth.json

One thing at a time grows; the rest stays as at `BASE`. Each point is a process of its own, which measures what
`unskip.distill` with the teacher's shortcuts removed would do, on random images: seconds of a step, images fetched and
weights changed, and the most memory that the process held, less what it held before it had networks and images (on a
GPU what PyTorch allocated at most). Prints each as soon as it is known, and between two points the exponent: 1 where
the cost doubles with what grows.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import platform
import resource
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

BASE = {"width": 16, "depth": 20, "size": 32, "images": 10_000, "classes": 10}
AXES: Mapping[str, Sequence[int]] = {
    "width": (8, 16, 32, 64),
    "depth": (20, 32, 56, 110),
    "size": (16, 32, 64, 128),
    "images": (1_000, 10_000, 100_000),
    "classes": (10, 100, 1_000, 10_000),
}
WORDS = {
    "width": "channels of the first stage",
    "depth": "layers",
    "size": "pixels of a side",
    "images": "training images",
    "classes": "classes",
}
Point = Mapping[str, Any]


def main() -> None:
    arguments = parsed()
    points = (
        json.loads(arguments.drawn_from.read_text(encoding="utf-8")) if arguments.drawn_from else measured(arguments)
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(points, indent=1) + "\n", encoding="utf-8")
    if arguments.picture:
        draw(points, arguments.picture)


def measured(arguments: argparse.Namespace) -> list[Point]:
    """The points of all axes, each printed with the exponent from the one before."""
    print(
        f"Python {platform.python_version()}, torch {torch.__version__}, {platform.machine()}, "
        f"{arguments.method}, batches of {arguments.batch_size}, one thread; otherwise {BASE}"
    )
    points: list[Point] = []
    for axis in arguments.axes:
        last: Point | None = None
        for value in AXES[axis]:
            if value > arguments.largest.get(axis, value):
                continue
            fresh = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
            with fresh:
                setting = {**BASE, axis: value}
                point = {"axis": axis, "value": value, **fresh.submit(cost, setting, arguments).result()}
            grown = (
                ""
                if last is None
                else f"   exponents {exponent(last, point, 'ms'):.2f} {exponent(last, point, 'mib'):.2f}"
            )
            print(f"{axis:8}{value:8,}{point['ms']:10.1f} ms{point['mib']:10.0f} MiB{grown}", flush=True)
            points.append(point)
            last = point
    return points


def exponent(last: Point, point: Point, cost: str) -> float:
    """Of the power of what grows by which a cost grows."""
    return math.log(point[cost] / last[cost]) / math.log(point["value"] / last["value"])


def cost(setting: Mapping[str, int], arguments: argparse.Namespace) -> dict[str, float]:
    """Milliseconds of a step, and MiB, in a process that does nothing else."""
    import unskip
    from unskip.data.augment import PadCropFlip
    from unskip.data.data import Data
    from unskip.data.normalize import IMAGENET
    from unskip.data.resident import ResidentImages
    from unskip.methods import method_from
    from unskip.preprocessing import Preprocessing
    from unskip.training.duration import estimate

    torch.set_num_threads(1)
    cuda = torch.cuda.is_available()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    side, classes = setting["size"], setting["classes"]

    def images(count: int, window: PadCropFlip | None) -> ResidentImages:
        random = np.random.default_rng(0)
        pixels = random.integers(0, 256, (count, 3, side, side), dtype=np.uint8)
        return ResidentImages(
            pixels, random.integers(0, classes, count), torch.device("cuda" if cuda else "cpu"), window
        )

    data = Data(
        "random",
        tuple(map(str, range(classes))),
        Preprocessing("RGB", (side, side), None),
        IMAGENET,
        images(setting["images"], PadCropFlip(side // 8, "zeros", flip=True)),
        images(arguments.batch_size, None),
    )
    teacher = unskip.make_net(f"resnet{setting['depth']}", {"width": setting["width"], "num_classes": classes})
    training = unskip.TrainingRecipe(batch_size=arguments.batch_size, precision=arguments.precision)
    found = estimate(teacher, data, method_from(arguments.method, {}), training=training, within=arguments.seconds)
    held = (
        torch.cuda.max_memory_allocated() / 2**20
        if cuda
        else (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10
    )
    return {"ms": 1000 * found.seconds_per_step, "mib": held}


def draw(points: Sequence[Point], path: Path) -> None:
    """Time above, memory below, one column for each thing that grows; grey lines have an exponent of 1."""
    from matplotlib.figure import Figure

    axes = list(dict.fromkeys(point["axis"] for point in points))
    figure = Figure(figsize=(2.6 * len(axes), 5), layout="constrained")
    panels = figure.subplots(2, len(axes), sharex="col", sharey="row", squeeze=False)
    for row, (name, said) in enumerate({"ms": "ms of a step", "mib": "MiB at most"}.items()):
        for column, axis in enumerate(axes):
            panel = panels[row, column]
            chosen = [point for point in points if point["axis"] == axis]
            values, costs = [point["value"] for point in chosen], [point[name] for point in chosen]
            straight = [costs[0] * value / values[0] for value in values]
            panel.plot(values, straight, color="#c8c8c8", linewidth=1)
            panel.plot(values, costs, color="#00798c", marker="o", markersize=4)
            panel.set(xscale="log", yscale="log", xticks=values, xticklabels=[f"{value:,}" for value in values])
            panel.minorticks_off()
            panel.tick_params(labelsize=8)
            panel.spines[["top", "right"]].set_visible(False)
            if column == 0:
                panel.set_ylabel(said)
            if row == 1:
                panel.set_xlabel(WORDS[axis])
    for row in panels:
        costs = [value for line in (each.lines[1] for each in row) for value in line.get_ydata()]
        row[0].set_ylim(min(costs) / 1.5, max(costs) * 1.5)
    figure.savefig(path, dpi=110)


def largest(text: str) -> tuple[str, int]:
    """``width=8`` as its two parts."""
    axis, _, value = text.partition("=")
    if axis not in AXES or not value.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(f'{each}=NUMBER' for each in AXES)}")
    return axis, int(value)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--axes", nargs="+", choices=list(AXES), default=list(AXES))
    parser.add_argument("--largest", nargs="*", type=largest, default=[], help="such as width=8: leave out larger ones")
    parser.add_argument("--method", default="align_kd")
    parser.add_argument("--precision", choices=["auto", "float32", "bf16"], default="float32")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0, help="for a point")
    parser.add_argument("--json", type=Path, help="where the points are written")
    parser.add_argument("--picture", type=Path, help="where they are drawn")
    parser.add_argument("--drawn-from", type=Path, help="points that were measured before")
    arguments = parser.parse_args()
    arguments.largest = dict(arguments.largest)
    return arguments


if __name__ == "__main__":
    main()
