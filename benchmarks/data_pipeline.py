"""Images a second: this package's batches against torchvision's transforms, image by image, in a loader.

    python benchmarks/data_pipeline.py                        # small images, that live on the device
    python benchmarks/data_pipeline.py --photographs FOLDER --images 4000 --batch-size 64

Small images are padded by four pixels, cropped and flipped at random, and normalised; photographs are decoded, brought
to 224 pixels by random resized crops, flipped and normalised. Both sides have the same images, and as many loader
processes where they have any. The two are timed in turn, several times, in one run; the ratio of each pair is what
counts. The first epoch of photographs, in which they are decoded, is printed by itself.
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
from unskip.data.image_set import ImageSet
from unskip.data.normalize import IMAGENET
from unskip.data.resident import ResidentImages
from unskip.data.streamed import StreamedImages
from unskip.machine_memory import keep_freed_memory
from unskip.torchvision_compat import torchvision, v2

Sides = tuple[Batches, Iterable[tuple[Tensor, Tensor]], str]
"""This package's batches, torchvision's, and what they are of."""


class Photographs(Dataset[tuple[Tensor, int]]):
    """Decoded and transformed one by one, as torchvision's training scripts do it."""

    def __init__(self, images: ImageSet) -> None:
        self.images = images
        self.transform = v2.Compose(
            [
                v2.RandomResizedCrop(224),
                v2.RandomHorizontalFlip(),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(IMAGENET.mean, IMAGENET.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images.image(index)), int(self.images.labels[index])


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
    keep_freed_memory()  # as a training does
    mine, others, origin = (photographs if arguments.photographs else small)(arguments)
    first = rate(mine.epoch(0), arguments.device), rate(others, arguments.device)  # starts the workers
    ours, theirs = [], []
    for repetition in range(1, arguments.repetitions + 1):
        ours.append(rate(mine.epoch(repetition), arguments.device))
        theirs.append(rate(others, arguments.device))
    print(origin)
    print(
        f"Python {platform.python_version()}, torch {torch.__version__}, torchvision {torchvision.__version__}, "
        f"{platform.machine()}, device {arguments.device}, {torch.get_num_threads()} threads, "
        f"{arguments.workers} loader workers, {arguments.repetitions} interleaved repetitions"
    )
    print(f"{'':24}{'median':>12}{'min':>12}{'max':>12}{'first epoch':>14}")
    show("unskip, images/s", ours, "12,.0f", first[0])
    show("torchvision v2, images/s", theirs, "12,.0f", first[1])
    show("ratio", [a / b for a, b in zip(ours, theirs, strict=True)], "12.1f", first[0] / first[1])


def small(arguments: argparse.Namespace) -> Sides:
    """Images that live on the device, and the same in a loader."""
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
    shape = "x".join(map(str, pixels.shape[1:]))
    return batches, loader, f"{origin}, {len(pixels)} images of {shape}, batch {arguments.batch_size}"


def photographs(arguments: argparse.Namespace) -> Sides:
    """Photographs in random crops of 224 pixels, and the same in a loader."""
    changes = {"limit": arguments.images, "test_limit": 100, "image_size": 224, "workers": arguments.workers}
    data = load_data(recipe_for(arguments.photographs).model_copy(update=changes), device=arguments.device)
    files = data._train
    assert isinstance(files, StreamedImages)
    loader = DataLoader(
        Photographs(files.image_set),
        arguments.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=arguments.workers,
        persistent_workers=arguments.workers > 0,
    )
    batches = data.train_batches(arguments.batch_size, 0, channels_last=arguments.channels_last)
    return batches, loader, f"{arguments.photographs}, {data.num_train} photographs, batch {arguments.batch_size}"


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


def show(name: str, values: list[float], style: str, first: float) -> None:
    """Print one line of the table."""
    print(
        f"{name:24}" + "".join(format(f(values), style) for f in (statistics.median, min, max)) + f"  {first:{style}}"
    )


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", metavar="FOLDER", help="photographs, as `unskip run --data` takes them")
    parser.add_argument("--data", help="a folder or source that `unskip train --data` accepts; random bytes by default")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--workers", type=int, default=2, help="loader processes; small images of ours have none")
    parser.add_argument("--threads", type=int, default=1, help="torch's threads in this process")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--channels-last", action="store_true", help="resident batches in channels-last memory format")
    return parser.parse_args()


if __name__ == "__main__":
    main()
