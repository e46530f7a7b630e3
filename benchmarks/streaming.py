"""Memory and images a second of Parquet files that are larger than the memory for them, over an epoch.

    python benchmarks/streaming.py --images FILE --rows 20000 200000 --window-gib 0.125

Writes for each number of rows files with the images of a Parquet file, drawn at random, in row groups of 100; reads one
epoch of them in random resized crops, as a training does, and prints the resident memory at every tenth of it, beyond
what the process had before. What was decoded is not kept, or that would be the memory.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from unskip.data import load_data, recipe_for
from unskip.machine_memory import keep_freed_memory

_GROUP, _FILE = 100, 20_000  # rows


def main() -> None:
    arguments = parsed()
    print(
        f"Python {platform.python_version()}, torch {torch.__version__}, pyarrow {pa.__version__}, "
        f"{platform.machine()}, {arguments.workers} threads that read, windows of {arguments.window_gib:g} GiB, "
        f"{arguments.size} pixels, batches of {arguments.batch_size}"
    )
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
            size = written(Path(folder), pq.read_table(arguments.images), rows)
            print(f"{rows:,} rows, {size / 2**20:,.0f} MiB", flush=True)
            reader = multiprocessing.get_context("spawn").Process(target=epoch, args=(folder, arguments))
            reader.start()
            reader.join()
            if reader.exitcode:
                raise SystemExit(reader.exitcode)


def written(folder: Path, table: pa.Table, rows: int) -> int:
    """Write the files; bytes of the training images."""
    random = np.random.default_rng(0)
    count = -(-rows // _FILE)
    for file in range(count):
        chosen = random.integers(0, len(table), min(_FILE, rows - file * _FILE))
        path = folder / f"train-{file:05}-of-{count:05}.parquet"
        pq.write_table(table.take(chosen), path, row_group_size=_GROUP, use_dictionary=["label"])
    pq.write_table(table.slice(0, 100), folder / "test-00000-of-00001.parquet", row_group_size=_GROUP)
    return sum(path.stat().st_size for path in folder.glob("train-*"))


def epoch(folder: str, arguments: argparse.Namespace) -> None:
    """Read an epoch and print the memory on the way, in a process that did nothing else."""
    torch.set_num_threads(1)
    keep_freed_memory()  # as a training does
    before, start = resident(), time.perf_counter()
    changes = {
        "image_size": arguments.size,
        "window_gib": arguments.window_gib,
        "workers": arguments.workers,
        "augmentation": "resized_crop",
        "keep_decoded": False,
    }
    data = load_data(recipe_for(folder).model_copy(update=changes), device="cpu")
    batches = data.train_batches(arguments.batch_size, 0)
    marks, started = [resident() - before], time.perf_counter()
    tenth = max(1, len(batches) // 10)
    for step, _ in enumerate(batches.epoch(0), start=1):
        if step % tenth == 0:
            marks.append(resident() - before)
    rate = len(batches) * arguments.batch_size / (time.perf_counter() - started)
    print(f"  listed in {started - start:.1f} s, {rate:,.0f} images/s")
    print(
        f"  MiB before the first step and at every tenth: {', '.join(f'{mark / 2**20:.0f}' for mark in marks)}",
        flush=True,
    )


def resident() -> int:
    """Bytes of the process that are in memory; Linux only."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="a Parquet file with images and labels")
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 200_000])
    parser.add_argument("--window-gib", type=float, default=0.125)
    parser.add_argument("--size", type=int, default=128, help="pixels of a crop")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--scratch", help="where the files are written, and removed")
    return parser.parse_args()


if __name__ == "__main__":
    main()
