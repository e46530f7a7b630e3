"""How the cost of a training grows: time of a step and memory over width, depth, image size, images and classes.

    python benchmarks/growth.py growth.json --picture growth.svg
    python benchmarks/growth.py growth.json --minutes 7
    python benchmarks/growth.py kd.json --axes width depth --method kd

One thing at a time grows; the rest stays as at `BASE`. Each point is a process of its own, which measures what
`unskip.distill` with the teacher's shortcuts removed would do, on random images: seconds of a step, images fetched and
weights changed, and the most memory that the process held, less what it held before it had networks and images (on a
GPU what PyTorch allocated at most). Prints each as soon as it is known, and between two points the exponent: 1 where
the cost doubles with what grows. The file has every point as soon as it is known too: the same command goes on where it
was stopped, and draws.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import platform
import resource
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unskip.report.svg import MUTED, canvases, net_color, standalone, to_svg

BASE = {"width": 16, "depth": 20, "size": 32, "images": 10_000, "classes": 10}
AXES: Mapping[str, Sequence[int]] = {
    "width": (8, 16, 32, 64),
    "depth": (20, 32, 56, 110),
    "size": (16, 32, 64, 128),
    "images": (1_000, 10_000, 100_000),
    "classes": (10, 100, 1_000, 10_000),
}
Point = Mapping[str, Any]


def main() -> None:
    arguments = parsed()
    points = measured(arguments)
    if arguments.picture:
        arguments.picture.write_text(drawn(points), encoding="utf-8")


def measured(arguments: argparse.Namespace) -> list[Point]:
    """The points of all axes, those of the file as they are, each printed with the exponent from the one before."""
    circumstances = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "method": arguments.method,
        "precision": arguments.precision,
        "batch_size": arguments.batch_size,
        "otherwise": BASE,
    }
    kept: dict[str, Any] = {"circumstances": circumstances, "points": []}
    if arguments.file.exists():
        kept = json.loads(arguments.file.read_text(encoding="utf-8"))
        if kept["circumstances"] != circumstances:
            raise SystemExit(f"{arguments.file} was measured otherwise: {kept['circumstances']}, now {circumstances}")
    print(", ".join(f"{name} {value}" for name, value in circumstances.items()))
    known = {(point["axis"], point["value"]): point for point in kept["points"]}
    ends = time.monotonic() + 60 * arguments.minutes
    for axis in arguments.axes:
        last: Point | None = None
        for value in AXES[axis]:
            if value > arguments.largest.get(axis, value):
                continue
            point = known.get((axis, value))
            if point is None:
                if time.monotonic() > ends:
                    raise SystemExit(f"the time is over; the same command goes on with {axis} {value:,}")
                with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
                    found = fresh.submit(cost, {**BASE, axis: value}, arguments).result()
                point = {"axis": axis, "value": value, **found}
                kept["points"].append(point)
                arguments.file.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
            grown = (
                ""
                if last is None
                else f"   exponents {exponent(last, point, 'ms'):.2f} {exponent(last, point, 'mib'):.2f}"
            )
            print(f"{axis:8}{value:8,}{point['ms']:10.1f} ms{point['mib']:10.0f} MiB{grown}", flush=True)
            last = point
    return list(kept["points"])


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


def drawn(points: Sequence[Point]) -> str:
    """Time above, memory below, a column for each thing that grows; grey lines have an exponent of 1."""
    names = {"ms": "ms of a step", "mib": "MiB at most"}
    axes = [axis for axis in AXES if any(point["axis"] == axis for point in points)]
    with canvases(100 + 150 * len(axes), 320, len(names), len(axes)) as panels:
        for number, panel in enumerate(panels):
            cost, axis = list(names)[number // len(axes)], axes[number % len(axes)]
            chosen = sorted((point["value"], point[cost]) for point in points if point["axis"] == axis)
            values, costs = zip(*chosen, strict=True)
            every = [point[cost] for point in points]
            panel.plot(values, [costs[0] * value / values[0] for value in values], color=MUTED, linewidth=1)
            panel.plot(values, costs, color=net_color(1), marker="o", markersize=4, linewidth=1.8)
            panel.set(xscale="log", yscale="log", ylim=(min(every) / 1.5, max(every) * 1.5))
            panel.margins(x=0.15)
            panel.minorticks_off()
            panel.set_xticks(values, [f"{value:,}" if value < 1000 else f"{value // 1000:,}k" for value in values])
            panel.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
            panel.tick_params(labelleft=axis == axes[0])
            if axis == axes[0]:
                panel.set_ylabel(names[cost])
            if cost == "ms":
                panel.set_title(axis.replace("size", "pixels of a side"))
        alt = "Time of a step and memory over width, depth, image size, images and classes"
        return standalone(to_svg(panels[0], "growth", alt))


def largest(text: str) -> tuple[str, int]:
    """``width=8`` as its two parts."""
    axis, _, value = text.partition("=")
    if axis not in AXES or not value.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(f'{each}=NUMBER' for each in AXES)}")
    return axis, int(value)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="the points as JSON; those that it has are not measured again")
    parser.add_argument("--axes", nargs="+", choices=list(AXES), default=list(AXES))
    parser.add_argument("--largest", nargs="*", type=largest, default=[], help="such as width=8: leave out larger ones")
    parser.add_argument("--method", default="align_kd")
    parser.add_argument("--precision", choices=["auto", "float32", "bf16"], default="float32")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0, help="for a point")
    parser.add_argument("--minutes", type=float, default=math.inf, help="after which no other point is begun")
    parser.add_argument("--picture", type=Path, help="where the points are drawn, an SVG")
    arguments = parser.parse_args()
    arguments.largest = dict(arguments.largest)
    return arguments


if __name__ == "__main__":
    main()
