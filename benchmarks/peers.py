"""Images a second of a whole training loop: `unskip.distill` against those that others wrote, on the same networks.

    git clone https://github.com/HobbitLong/RepDistiller
    python benchmarks/peers.py --repdistiller RepDistiller --data CIFAR --images 1280 --threads 1
    git clone https://github.com/leoozy/JointRD_Neurips2020
    python benchmarks/peers.py --jointrd JointRD_Neurips2020 --data CIFAR --images 160 --batch-size 32

The other side is RepDistiller's `train_distill` or JointRD's `train`, with their losses, networks and transforms in a
loader of two processes, run as they are; the images come from a folder of Parquet files in the place of a download.
Ours is the same networks, parsed, with the same losses, weights, batch and optimiser. Each repetition trains two epochs
on either side, in turn; the second one counts.

JointRD's networks are its ResNet-18 of width 64 and that without identity shortcuts. Its code has two loops that run
the hybrids: `joint` takes their loss and trains the teacher at the same time, `ta` leaves the teacher as it is and
computes the hybrids without taking their loss. Ours takes their loss and leaves the teacher as it is: less work than
the one, more than the other.
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
from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import MagicMock

import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

import unskip
from unskip.data import load_data, recipe_for
from unskip.nets import StagedNet
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


JOINT_RD = {
    # JointRD's names of its loops. What its CIFAR script leaves at 0, the weight of features, is that of the paper.
    "joint": "JOINT",
    "ta": "TA",
}


class Pictures(Dataset[tuple[Any, ...]]):
    """Image, label and, for RepDistiller, index, with the transforms of either."""

    def __init__(self, images: list[Image.Image], labels: list[int], indexed: bool) -> None:
        transforms = torchvision.transforms
        self.images, self.labels, self.indexed = images, labels, indexed
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

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        found = self.transform(self.images[index]), self.labels[index]
        return (*found, index) if self.indexed else found


def main() -> None:
    arguments = parsed()
    torch.set_num_threads(arguments.threads)
    warnings.filterwarnings("ignore", message="size_average and reduce")  # of RepDistiller's calls
    data = load_data(recipe_for(arguments.data).model_copy(update={"limit": arguments.images, "test_limit": 100}))
    peer: Peer = (JointRD if arguments.jointrd else RepDistiller)(arguments, len(data.classes))
    pictures = Pictures(*decoded(data), indexed=arguments.jointrd is None)
    print(
        f"Python {platform.python_version()}, torch {torch.__version__}, {platform.machine()}, "
        f"{torch.get_num_threads()} threads, {arguments.workers} loader processes there, {data.num_train} images, "
        f"{peer.networks}, batches of {arguments.batch_size}, {arguments.precision} here"
    )
    loader = DataLoader(pictures, arguments.batch_size, shuffle=True, num_workers=arguments.workers)
    for name in arguments.methods or peer.methods:
        ours, theirs = [], []
        for _ in range(arguments.repetitions):
            torch.manual_seed(0)
            theirs.append(len(pictures) / peer.seconds(name, loader))
            torch.manual_seed(0)
            ours.append(our_rate(*peer.same(name), data, arguments))
        ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
        print(
            f"{name:10} unskip {statistics.median(ours):6,.0f}, {peer.name} {statistics.median(theirs):6,.0f} "
            f"images/s, ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
            flush=True,
        )


class Peer:
    """A training loop that others wrote, from a clone of their repository."""

    name: str
    networks: str
    methods: Sequence[str]

    def __init__(self, arguments: argparse.Namespace, classes: int) -> None:
        self.classes = classes

    def seconds(self, method: str, loader: DataLoader[tuple[Any, ...]]) -> float:
        """Of its second epoch."""
        raise NotImplementedError

    def same(self, method: str) -> tuple[unskip.Method, StagedNet, StagedNet, SGD]:
        """What `unskip.distill` is given for the same training: method, teacher, student and optimiser."""
        raise NotImplementedError


class RepDistiller(Peer):
    """Its three losses between two of its networks."""

    name = "RepDistiller"
    methods = tuple(METHODS)

    def __init__(self, arguments: argparse.Namespace, classes: int) -> None:
        super().__init__(arguments, classes)
        sys.path.insert(0, arguments.repdistiller)
        self.teacher, self.student = arguments.teacher, arguments.student
        self.networks = f"{self.teacher} to {self.student}"

    def seconds(self, method: str, loader: DataLoader[tuple[Any, ...]]) -> float:
        """Of the second epoch of `train_distill`."""
        from distiller_zoo import Attention, DistillKL, NSTLoss  # type: ignore[import-not-found]
        from helper.loops import train_distill  # type: ignore[import-not-found]

        teacher, student = self._made()
        kinds: dict[str, Any] = {"kd": DistillKL(4), "attention": Attention(), "nst": NSTLoss()}
        losses = nn.ModuleList([nn.CrossEntropyLoss(), DistillKL(4), kinds[method]])
        optimizer = torch.optim.SGD(student.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
        options = argparse.Namespace(distill=method, print_freq=100, **METHODS[method][1])
        modules = nn.ModuleList([student, teacher])
        return second_epoch(lambda epoch: train_distill(epoch, loader, modules, losses, optimizer, options))

    def same(self, method: str) -> tuple[unskip.Method, StagedNet, StagedNet, SGD]:
        """A method of ours between its networks."""
        teacher, student = (unskip.parse(net, torch.zeros(1, 3, 32, 32)) for net in self._made())
        return METHODS[method][0], teacher, student, SGD(lr=0.05, weight_decay=5e-4, nesterov=False)

    def _made(self) -> tuple[nn.Module, nn.Module]:
        from models import model_dict  # type: ignore[import-not-found]

        return model_dict[self.teacher](num_classes=self.classes), model_dict[self.student](num_classes=self.classes)


class JointRD(Peer):
    """Its two loops with hybrids, on its ResNet-18 for CIFAR; the student has no identity shortcuts."""

    name = "JointRD's authors"
    networks = "ResNet-18 of width 64 to itself without identity shortcuts"
    methods = tuple(JOINT_RD)

    def __init__(self, arguments: argparse.Namespace, classes: int) -> None:
        super().__init__(arguments, classes)
        sys.path.insert(0, arguments.jointrd)
        sys.modules["tools.dataloader"] = MagicMock()  # which downloads
        if not torch.cuda.is_available():  # it asks for a GPU by name
            torch.Tensor.cuda = lambda self, *args, **kwargs: self  # type: ignore[method-assign]
        from tools import utils  # type: ignore[import-not-found]

        utils.accuracy = top_of  # its own is for PyTorch 1.3

    def seconds(self, method: str, loader: DataLoader[tuple[Any, ...]]) -> float:
        """Of the second epoch of `train`."""
        from model import Distiller, resnet18_cifar  # type: ignore[import-not-found]
        from process.multikd_train import train  # type: ignore[import-not-found]

        teacher, student = [[1, 1]] * 4, [[0, 0], [1, 0], [1, 0], [1, 0]]
        model = Distiller(resnet18_cifar, resnet18_cifar, teacher, student, "margin", self.classes, MagicMock())
        model.reset_margin()
        optimizers = [
            torch.optim.SGD(parameters, lr=0.01, momentum=0.9, weight_decay=5e-4, nesterov=True)
            for parameters in (
                model.teacher.parameters(),
                [*model.student.parameters(), *model.Connectors.parameters()],
            )
        ]
        options = argparse.Namespace(dc=0.5, dis_weight=0.001, baseline_epochs=2)
        wrapped, stage, criterion = nn.DataParallel(model), JOINT_RD[method], nn.CrossEntropyLoss()
        return second_epoch(
            lambda epoch: train(loader, wrapped, criterion, *optimizers, epoch, stage, MagicMock(), options)
        )

    def same(self, method: str) -> tuple[unskip.Method, StagedNet, StagedNet, SGD]:
        """JointRD with the margin distance, which is theirs, whichever loop it is compared with."""
        from model import resnet18_cifar

        teacher = unskip.parse(resnet18_cifar([[1, 1]] * 4, self.classes), torch.zeros(1, 3, 32, 32))
        student = unskip.edits.without_shortcuts(teacher, keep=["projection"])
        joint_rd = unskip.JointRD(distance="margin", tap="pre_relu")
        return joint_rd, teacher, student, SGD(lr=0.01, weight_decay=5e-4)


def top_of(logits: torch.Tensor, labels: torch.Tensor, topk: Sequence[int]) -> list[torch.Tensor]:
    """Share of the images, one element, whose label is among the first k answers."""
    hits = logits.topk(max(topk), 1).indices == labels[:, None]
    return [hits[:, :k].any(1).float().mean()[None] for k in topk]


def second_epoch(train: Callable[[int], Any]) -> float:
    """Seconds of the second of two calls, silent."""
    for epoch in (1, 2):
        start = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            train(epoch)
    return time.perf_counter() - start


def our_rate(
    method: unskip.Method,
    teacher: StagedNet,
    student: StagedNet,
    optimizer: SGD,
    data: Any,
    arguments: argparse.Namespace,
) -> float:
    """Images a second of the second epoch of `unskip.distill`, fetching them included."""
    training = unskip.TrainingRecipe(
        epochs=2,
        batch_size=arguments.batch_size,
        precision=arguments.precision,
        validate_every=2,
        optimizer=optimizer,
        schedule=Constant(),
    )
    found = unskip.distill(teacher, data, method, student=student, training=training)
    return float(found.history[1]["images_per_second"])


def decoded(data: Any) -> tuple[list[Image.Image], list[int]]:
    """All training images as Pillow's, and their labels."""
    images, labels = data.scaled().labelled_train_images(data.num_train, 0)
    pixels = (255 * images).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(each) for each in pixels], labels.tolist()


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    peer = parser.add_mutually_exclusive_group(required=True)
    peer.add_argument("--repdistiller", metavar="CLONE")
    peer.add_argument("--jointrd", metavar="CLONE")
    parser.add_argument("--data", required=True, help="a folder of 32x32 images, as `unskip run --data` takes it")
    parser.add_argument("--teacher", default="resnet32", help="of RepDistiller's networks")
    parser.add_argument("--student", default="resnet20", help="of RepDistiller's networks")
    parser.add_argument("--methods", nargs="+", choices=[*METHODS, *JOINT_RD], help="of those of the clone; else all")
    parser.add_argument("--images", type=int, default=1280)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--precision", choices=["float32", "bf16"], default="float32")
    return parser.parse_args()


if __name__ == "__main__":
    main()
