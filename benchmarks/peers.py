"""Images a second of a whole training loop: `unskip.distill` against RepDistiller's own, on the same networks.

    git clone https://github.com/HobbitLong/RepDistiller
    python benchmarks/peers.py --repdistiller RepDistiller --data CIFAR --images 1280 --threads 1

RepDistiller's side is its `train_distill`, its losses, its networks and its transforms in a loader of two processes,
run as they are; the images come from a folder of Parquet files in the place of a download. Ours is the same networks,
parsed, with the same losses, weights, batch and optimiser. Each repetition trains two epochs on either side, in turn;
the second one counts.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

import unskip
from unskip.data import load_data, recipe_for
from unskip.recipe import SGD, Constant
from unskip.torchvision_compat import torchvision

METHODS: dict[str, tuple[unskip.Method, dict[str, float]]] = {
    # A method of ours, and RepDistiller's weights of labels, answers and what else there is, as its README gives them.
    "kd": (unskip.KD(alpha=0.9, temperature=4.0), {"gamma": 0.1, "alpha": 0.9, "beta": 0.0}),
    "attention": (
        unskip.AlignKD(feature="attention_transfer", feature_weight=1000.0, final_feature_weight=1000.0, alpha=0.0),
        {"gamma": 1.0, "alpha": 0.0, "beta": 1000.0},
    ),
    "nst": (
        unskip.AlignKD(feature="nst", feature_weight=50.0, final_feature_weight=50.0, alpha=0.0),
        {"gamma": 1.0, "alpha": 0.0, "beta": 50.0},
    ),
}


class WithIndex(Dataset[tuple[torch.Tensor, int, int]]):
    """Image, label and index, as RepDistiller's data set gives them, with its transforms."""

    def __init__(self, images: list[Image.Image], labels: list[int]) -> None:
        transforms = torchvision.transforms
        self.images, self.labels = images, labels
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int, int]:
        return self.transform(self.images[index]), self.labels[index], index


def main() -> None:
    arguments = parsed()
    torch.set_num_threads(arguments.threads)
    warnings.filterwarnings("ignore", message="size_average and reduce")  # of RepDistiller's calls
    sys.path.insert(0, arguments.repdistiller)
    data = load_data(recipe_for(arguments.data).model_copy(update={"limit": arguments.images, "test_limit": 100}))
    pictures = WithIndex(*decoded(data))
    print(
        f"Python {platform.python_version()}, torch {torch.__version__}, {platform.machine()}, "
        f"{torch.get_num_threads()} threads, {arguments.workers} loader processes there, {data.num_train} images, "
        f"{arguments.teacher} to {arguments.student}, batches of {arguments.batch_size}, {arguments.precision} here"
    )
    for name in arguments.methods:
        nets = networks(arguments, len(data.classes))
        ours, theirs = [], []
        for _ in range(arguments.repetitions):
            theirs.append(their_rate(name, nets(), pictures, arguments))
            ours.append(our_rate(name, nets(), data, arguments))
        ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
        print(
            f"{name:10} unskip {statistics.median(ours):6,.0f}, RepDistiller {statistics.median(theirs):6,.0f} "
            f"images/s, ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
            flush=True,
        )


def networks(arguments: argparse.Namespace, classes: int) -> Callable[[], tuple[nn.Module, nn.Module]]:
    """Teacher and student of RepDistiller, the same ones each time."""
    from models import model_dict  # type: ignore[import-not-found]

    def made() -> tuple[nn.Module, nn.Module]:
        torch.manual_seed(0)
        return model_dict[arguments.teacher](num_classes=classes), model_dict[arguments.student](num_classes=classes)

    return made


def their_rate(
    name: str, nets: tuple[nn.Module, nn.Module], pictures: WithIndex, arguments: argparse.Namespace
) -> float:
    """Images a second of RepDistiller's second epoch."""
    from distiller_zoo import Attention, DistillKL, NSTLoss  # type: ignore[import-not-found]
    from helper.loops import train_distill  # type: ignore[import-not-found]

    teacher, student = nets
    kinds: dict[str, Any] = {"kd": DistillKL(4), "attention": Attention(), "nst": NSTLoss()}
    losses = nn.ModuleList([nn.CrossEntropyLoss(), DistillKL(4), kinds[name]])
    optimizer = torch.optim.SGD(student.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    options = argparse.Namespace(distill=name, print_freq=100, **METHODS[name][1])
    loader = DataLoader(pictures, arguments.batch_size, shuffle=True, num_workers=arguments.workers)
    modules = nn.ModuleList([student, teacher])
    for epoch in (1, 2):
        start = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            train_distill(epoch, loader, modules, losses, optimizer, options)
    return len(pictures) / (time.perf_counter() - start)


def our_rate(name: str, nets: tuple[nn.Module, nn.Module], data: Any, arguments: argparse.Namespace) -> float:
    """Images a second of the second epoch of `unskip.distill`, fetching them included."""
    teacher, student = (unskip.parse(net, torch.zeros(1, 3, 32, 32)) for net in nets)
    training = unskip.TrainingRecipe(
        epochs=2,
        batch_size=arguments.batch_size,
        precision=arguments.precision,
        validate_every=2,
        optimizer=SGD(lr=0.05, weight_decay=5e-4, nesterov=False),
        schedule=Constant(),
    )
    found = unskip.distill(teacher, data, METHODS[name][0], student=student, training=training)
    return float(found.history[1]["images_per_second"])


def decoded(data: Any) -> tuple[list[Image.Image], list[int]]:
    """All training images as Pillow's, and their labels."""
    images, labels = data.scaled().labelled_train_images(data.num_train, 0)
    pixels = (255 * images).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(each) for each in pixels], labels.tolist()


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repdistiller", required=True, help="a clone of it")
    parser.add_argument("--data", required=True, help="a folder of 32x32 images, as `unskip run --data` takes it")
    parser.add_argument("--teacher", default="resnet32")
    parser.add_argument("--student", default="resnet20")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--images", type=int, default=1280)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--precision", choices=["float32", "bf16"], default="float32")
    return parser.parse_args()


if __name__ == "__main__":
    main()
