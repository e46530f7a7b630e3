"""Images a second: batches of resident images against torchvision's transforms, image by image, in a loader.

Both pad by four pixels, crop at random, flip at random, and normalise the same uint8 images. The two are timed in turn,
several times, in one run; the ratio of each pair is what counts.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from unskip.data import load_data, recipe_for
from unskip.data.augment import PadCropFlip
from unskip.data.batches import Batches, Steps
from unskip.data.normalize import IMAGENET
from unskip.data.resident import ResidentImages
from unskip.torchvision_compat import torchvision, v2


class PerSample(Dataset[tuple[Tensor, int]]):
    """uint8 (images, 3, height, width), transformed one by one."""

    def __init__(self, pixels: Tensor, labels: Tensor) -> None:
        self.pixels, self.labels = pixels, labels
        self.transform = v2.Compose(
            [
                v2.RandomCrop(tuple(pixels.shape[2:]), padding=4),
                v2.RandomHorizontalFlip(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(IMAGENET.mean, IMAGENET.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.pixels[index]), int(self.labels[index])


def main() -> None:
    arguments = parsed()
    torch.set_num_threads(arguments.threads)
    pixels, labels, origin = images(arguments.data, arguments.images)
    resident = ResidentImages(pixels, labels, torch.device(arguments.device), PadCropFlip(4, "zeros", flip=True))
    steps = Steps(len(pixels), arguments.batch_size, drop_last=True)
    batches = Batches(resident, IMAGENET, steps, 0, arguments.channels_last)
    loader = DataLoader(
        PerSample(torch.from_numpy(pixels), torch.from_numpy(labels)),
        arguments.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=arguments.workers,
        persistent_workers=arguments.workers > 0,
    )
    rate(loader, arguments.device)  # starts the workers
    rate(batches.epoch(0), arguments.device)
    ours, theirs = [], []
    for repetition in range(1, arguments.repetitions + 1):
        ours.append(rate(batches.epoch(repetition), arguments.device))
        theirs.append(rate(loader, arguments.device))
    print(f"{origin}, {len(pixels)} images of {'x'.join(map(str, pixels.shape[1:]))}, batch {arguments.batch_size}")
    print(
        f"Python {platform.python_version()}, torch {torch.__version__}, torchvision {torchvision.__version__}, "
        f"{platform.machine()}, device {arguments.device}, {torch.get_num_threads()} threads, "
        f"{arguments.workers} loader workers, {arguments.repetitions} interleaved repetitions"
    )
    print(f"{'':24}{'median':>12}{'min':>12}{'max':>12}")
    show("resident, images/s", ours, "12,.0f")
    show("torchvision v2, images/s", theirs, "12,.0f")
    show("ratio", [a / b for a, b in zip(ours, theirs, strict=True)], "12.1f")


def rate(batches: Iterable[tuple[Tensor, Tensor]], device: str) -> float:
    """Images a second of one epoch, arrived on the device."""
    start, count = time.perf_counter(), 0
    for batch, _ in batches:
        batch = batch.to(device)
        count += len(batch)
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return count / (time.perf_counter() - start)


def images(data: str | None, count: int) -> tuple[np.ndarray, np.ndarray, str]:
    """uint8 (images, 3, height, width), labels, and where they come from."""
    if data is None:
        random = np.random.default_rng(0)
        pixels = random.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
        return pixels, random.integers(0, 10, count), "random bytes (the speed does not depend on the pixels)"
    recipe = recipe_for(data).model_copy(update={"limit": count, "test_limit": 10, "augmentation": "none"})
    loaded = load_data(recipe)
    if loaded.image_shape[0] != 3 or max(loaded.image_shape) > 64:
        raise SystemExit(f"{data} has images of {loaded.image_shape}; this benchmark needs small colour images")
    mean, std = (torch.tensor(values)[:, None, None] for values in (loaded.mean, loaded.std))
    batch, labels = next(loaded.train_batches(count, 0).epoch(0))
    pixels = ((batch * std + mean) * 255).round().to(torch.uint8).numpy()
    return pixels, labels.numpy(), data


def show(name: str, values: list[float], style: str) -> None:
    """Print one line of the table."""
    print(f"{name:24}" + "".join(format(f(values), style) for f in (statistics.median, min, max)))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="a folder or source that `unskip train --data` accepts; random bytes by default")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--workers", type=int, default=2, help="loader processes for torchvision's side")
    parser.add_argument("--threads", type=int, default=1, help="torch's threads for the resident side")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--channels-last", action="store_true", help="resident batches in channels-last memory format")
    return parser.parse_args()


if __name__ == "__main__":
    main()
