"""A training on a large folder of photographs: its most memory and its images a second, epoch by epoch.

    python benchmarks/photograph_folder.py --images IMAGEWOOF --count 50000

Writes class folders with the JPEG files of a folder of Parquet files, again and again under other names (hard links),
and trains a small network on their labels, in a process that does nothing else. Started within a limit, such as
`systemd-run --scope -p MemoryMax=4G`, `docker run -m 4g` or a SLURM job's, it shows what a machine of that size does.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch

import unskip
from unskip.data import load_data, recipe_for
from unskip.machine_memory import machine_bytes, room

_NUM_TEST = 500


def main() -> None:
    arguments = parsed()
    print(
        f"Python {platform.python_version()}, torch {torch.__version__}, {platform.machine()}, at most "
        f"{(machine_bytes() or 0) / 2**20:,.0f} MiB of memory, {room(0.0) / 2**20:,.0f} of them free; "
        f"{arguments.net} of width {arguments.width}, {arguments.size} pixels, batches of {arguments.batch_size}"
    )
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
        for split, count in (("train", arguments.count), ("test", _NUM_TEST)):
            write(Path(folder, split), next(arguments.images.glob(f"{split}-*.parquet")), count)
        trainer = multiprocessing.get_context("spawn").Process(target=train, args=(folder, arguments))
        trainer.start()
        trainer.join()
        if trainer.exitcode:
            raise SystemExit(trainer.exitcode)


def write(folder: Path, parquet: Path, count: int) -> None:
    """Class folders with so many files, those of the Parquet file in turn."""
    table = pq.read_table(parquet)
    images, labels = table["image"].to_pylist(), table["label"].to_pylist()
    places: list[Path] = []
    for number in range(count):
        row = number % len(images)
        place = folder / f"class-{labels[row]}" / f"{number:06}.jpg"
        if number < len(images):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(images[row]["bytes"])
            places.append(place)
        else:
            os.link(places[row], place)


def train(folder: str, arguments: argparse.Namespace) -> None:
    """Train and print an epoch's images a second and the most memory that the process had until then."""
    torch.set_num_threads(1)
    started = time.perf_counter()
    print(f"before anything is read: {peak():,.0f} MiB at most", flush=True)
    changes = {"image_size": arguments.size, "augmentation": "resized_crop", "workers": arguments.workers}
    data = load_data(recipe_for(folder).model_copy(update=changes), device="cpu")
    print(f"{data.num_train:,} files listed in {time.perf_counter() - started:.1f} s: {peak():,.0f} MiB", flush=True)
    options = {"width": arguments.width, "num_classes": len(data.classes)}
    net = unskip.make_net(arguments.net, options)
    training = unskip.TrainingRecipe(epochs=arguments.epochs, batch_size=arguments.batch_size, precision="float32")

    def on_epoch(record: Mapping[str, Any]) -> None:
        print(
            f"epoch {record['epoch']}: {record['images_per_second']:,.0f} images/s, {peak():,.0f} MiB at most",
            flush=True,
        )

    unskip.distill(None, data, unskip.CE(), student=net, training=training, on_epoch=on_epoch)


def peak() -> float:
    """MiB that this process had in memory at most; Linux only, whose `getrusage` counts what started it too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 2**10


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="a folder of Parquet files with images and labels")
    parser.add_argument("--count", type=int, default=50_000, help="of training images")
    parser.add_argument("--net", default="resnet14")
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--size", type=int, default=64, help="pixels of a crop")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--scratch", help="where the files are written, and removed")
    return parser.parse_args()


if __name__ == "__main__":
    main()
