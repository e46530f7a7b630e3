"""What a trained network keeps without its shortcuts before any training: cut, and fitted on a few images.

    python benchmarks/fitting.py torchvision:mobilenet_v2=WEIGHTS --data FOLDER --image-size 128 --answers 155 159 162

The network as it is, cut, and fitted (`unskip.edits.fit_without_shortcuts`), scored on all test images, for every
number of ``--images``, of ``--passes`` and every seed, which draws them from the training images. ``--answers`` are the
network's classes that the data's classes are, in their order, for a network that knows more: it keeps these rows of its
last layer. With ``--target`` the network and every fitted one are also written as 8-bit files for a device, whose
integers are scored in the same way.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from unskip import load_data, make_net
from unskip.data import Data, Normalization, data_section
from unskip.deploying import TestPasses
from unskip.edits import fit_without_shortcuts, without_shortcuts
from unskip.export import CALIBRATION_IMAGES, export_net
from unskip.nets import StagedNet
from unskip.own_code import allow_module
from unskip.recipe import recipe_from
from unskip.runtimes import Configuration, configured
from unskip.surgery import residual_blocks
from unskip.surgery._fitting import PASSES
from unskip.tasks import Classification
from unskip.weights import load_weights

BATCH = 64
PROVED = 256  # images on which a file must agree with its network


def main() -> None:
    """Print a line for each network as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("net", metavar="NET=WEIGHTS")
    parser.add_argument("--data", required=True)
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--answers", type=int, nargs="*", help="the network's classes that the data's are")
    parser.add_argument("--mean", type=float, nargs="+", default=[0.485, 0.456, 0.406], help="of the net's images")
    parser.add_argument("--std", type=float, nargs="+", default=[0.229, 0.224, 0.225])
    parser.add_argument("--images", type=int, nargs="+", default=[5120])
    parser.add_argument("--passes", type=float, nargs="+", default=[PASSES], help="over the images, for each block")
    parser.add_argument("--only", nargs="+", default=[], help="shortcuts to remove, or stages; all by default")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--target", help="a device for which 8-bit files are written and scored")
    parser.add_argument("--test-limit", type=int, help="test images to score on; all by default")
    parser.add_argument("--allow-module", action="append", default=[])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for module in arguments.allow_module:
        allow_module(module)
    source, _, weights = arguments.net.partition("=")
    net = make_net(source)
    load_weights(net, Path(weights))
    net = narrowed(net.eval(), arguments.answers) if arguments.answers else net.eval()
    device = configured(arguments.target) if arguments.target else None
    tree = {**data_section(arguments.data)}
    for name in ("image_size", "test_limit"):
        if getattr(arguments, name):
            tree[name] = getattr(arguments, name)
    normalization = Normalization(tuple(arguments.mean), tuple(arguments.std))
    data = load_data(recipe_from({"data": tree}, []).data, device="cpu", normalization=normalization)
    print(f"{source}, {len(residual_blocks(net))} shortcuts, {data.num_test} test images, top-1 in percent")
    print(f"with its shortcuts: {accuracy(net, data):.2f}{in_8_bits(net, data, device)}", flush=True)
    print(f"cut: {accuracy(without_shortcuts(net, only=arguments.only), data):.2f}", flush=True)
    for count, passes, seed in itertools.product(arguments.images, arguments.passes, arguments.seeds):
        images = data.train_images(count, seed)
        started = time.perf_counter()
        fitted = fit_without_shortcuts(net, images.split(BATCH), passes=passes, only=arguments.only)
        seconds = time.perf_counter() - started
        errors = sorted(100 * error for error in fitted.unexplained.values())
        left = f", {len(fitted.unfitted)} left: {next(iter(fitted.unfitted.values()))}" if fitted.unfitted else ""
        print(
            f"fitted on {len(images)} images, {passes:g} passes, seed {seed}: "
            f"{accuracy(fitted.net, data):.2f}{in_8_bits(fitted.net, data, device)} ({len(errors)} blocks, which miss "
            f"{errors[0]:.1f} to {errors[-1]:.1f} % of the variance{left}; {seconds:.0f} s)",
            flush=True,
        )


def narrowed(net: StagedNet, answers: Sequence[int]) -> StagedNet:
    """The network with these classes alone, in this order."""
    net = copy.deepcopy(net)
    last = [module for module in net.modules() if isinstance(module, nn.Linear)][-1]
    last.weight, last.bias = (nn.Parameter(tensor[list(answers)].clone()) for tensor in (last.weight, last.bias))
    last.out_features = len(answers)
    return net


@torch.no_grad()
def accuracy(net: nn.Module, data: Data) -> float:
    """Top-1 on all test images, in percent."""
    right = total = 0
    net.eval()
    for images, labels in data.test_batches(BATCH).epoch(0):
        right += int((net(images).argmax(1) == labels).sum())
        total += len(labels)
    return 100 * right / total


def in_8_bits(net: StagedNet, data: Data, device: Configuration | None) -> str:
    """The same of the network's file for a device, in words; nothing without one."""
    if device is None:
        return ""
    scaled, task = data.scaled(), Classification().scaled(data.mean, data.std)
    with tempfile.TemporaryDirectory(prefix="unskip-") as folder:
        exported = export_net(
            net,
            Path(folder) / f"net.{device.target}.pte",
            scaled.test_images(PROVED),
            normalization=(data.mean, data.std),
            task=task,
            test=TestPasses(scaled),
            calibration=scaled.train_images(CALIBRATION_IMAGES, 0),
            max_drop=None,
            device=device,
        )
    assert exported.scores is not None
    return f", {100 * exported.scores.file.value:.2f} as a file for {device.target}"


if __name__ == "__main__":
    main()
