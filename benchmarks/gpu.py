"""Whether every method trains on a GPU, and how many images a second its steps take.

    python benchmarks/gpu.py                      # both
    python benchmarks/gpu.py --only check
    python benchmarks/gpu.py --only speed --net resnet18-cifar --batch-sizes 512 128 --seconds 5

``check``: for every method two epochs of `unskip.distill` on random images, and as many steps of a loop of the user's
own; finite losses, all weights and the teacher on the device, and the two loops' weights compared. ``speed``: steps of
the whole loss (augmentation aside) in the precision and layout that a training takes on this device, images/s from the
time of all steps between two synchronisations. Each figure is printed as soon as it is known.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import unskip
from unskip.environment import describe_environment
from unskip.methods import METHODS, Method
from unskip.nets import StagedNet
from unskip.recipe import SGD, Constant, TrainingRecipe
from unskip.training.device import describe_numerics, image_layout, uses_bf16

SETTINGS = TrainingRecipe(
    epochs=2, batch_size=32, precision="float32", optimizer=SGD(lr=0.01), schedule=Constant(), validate_every=2
)


def networks(net: str, options: Mapping[str, object]) -> tuple[StagedNet, StagedNet]:
    """A teacher and the plain student that it asks for."""
    torch.manual_seed(0)
    teacher = unskip.make_net(net, options)
    return teacher, unskip.plain(teacher)


def check(device: torch.device) -> None:
    """Train a small network by every method, in both loops."""
    images = torch.randn(128, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    labels = torch.randint(10, (128,), generator=torch.Generator().manual_seed(2))
    loader = DataLoader(TensorDataset(images, labels), batch_size=32)
    for name, kind in METHODS.items():
        method = kind()
        settings = SETTINGS.model_copy(update={"epochs": 5 if name == "stagewise_kd" else 2})
        teacher, _ = networks("resnet14", {"width": 8, "num_classes": 10})
        trained = unskip.distill(teacher, loader, method, training=settings)
        losses = [record["loss"] for record in trained.history]
        places = {parameter.device.type for parameter in trained.student.parameters()}
        own = _own_loop(method, loader, settings.epochs, device)
        print(f"{name:14} losses {losses[0]:.4f} .. {losses[-1]:.4f}, weights on {places}; own loop: {own}", flush=True)


def _own_loop(method: Method, loader: DataLoader[tuple[Tensor, ...]], epochs: int, device: torch.device) -> str:
    teacher, _ = networks("resnet14", {"width": 8, "num_classes": 10})
    loss = method.loss(teacher=teacher, epochs=epochs).to(device)
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.01, momentum=0.9)
    steps, total = epochs * len(loader), torch.zeros((), device=device)
    for step in range(steps):
        images, labels = list(loader)[step % len(loader)]
        total = loss(images.to(device), labels.to(device), progress=step / steps)
        total.backward()
        optimizer.step()
        optimizer.zero_grad()
    return f"last loss {float(total.detach()):.4f} on {total.device}"


def speed(net: str, width: int, batch_sizes: Sequence[int], seconds: float, device: torch.device) -> None:
    """Time the steps of methods: the student alone (ce), and with an equal frozen teacher."""
    settings = TrainingRecipe(channels_last=True)
    for batch_size in batch_sizes:
        images = torch.randn(batch_size, 3, 32, 32, device=device)
        labels = torch.randint(10, (batch_size,), device=device)
        for name in ("ce", "kd", "align_kd", "joint_rd"):
            teacher, student = networks(net, {"width": width, "num_classes": 10})
            loss = METHODS[name]().loss(teacher=teacher, student=student).to(device)
            rate = _images_per_second(loss, images, labels, settings, seconds)
            print(f"{net} width {width}, batch {batch_size}, {name}: {rate:,.0f} images/s", flush=True)


def _images_per_second(
    loss: nn.Module, images: Tensor, labels: Tensor, settings: TrainingRecipe, seconds: float
) -> float:
    layout = image_layout(settings)
    loss.to(memory_format=layout)  # type: ignore[call-overload]
    images = images.contiguous(memory_format=layout)
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.01, momentum=0.9)

    def steps(count: int) -> float:
        torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(count):
            with torch.autocast(images.device.type, torch.bfloat16, enabled=uses_bf16(settings)):
                total = loss(images, labels, progress=0.5)
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
        torch.cuda.synchronize()
        return time.perf_counter() - started

    steps(10)
    count = max(5, round(10 * seconds / steps(10)))
    return count * len(images) / steps(count)


def main() -> None:
    """Print what this device is, and the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("check", "speed"))
    parser.add_argument("--net", default="resnet18-cifar")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[512, 128])
    parser.add_argument("--seconds", type=float, default=4.0)
    given = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("there is no GPU here that PyTorch sees")
    device = torch.device("cuda")
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False  # as a training has it
    print(describe_environment(), describe_numerics(TrainingRecipe(channels_last=True)), flush=True)
    if given.only != "speed":
        check(device)
    if given.only != "check":
        speed(given.net, given.width, given.batch_sizes, given.seconds, device)


if __name__ == "__main__":
    main()
