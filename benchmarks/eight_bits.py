"""What 8 bits cost networks, by quantiser and by the scales of the weights, as a Markdown table.

    python benchmarks/eight_bits.py RUN [RUN ..] --qat-epochs 2
    python benchmarks/eight_bits.py torchvision:mobilenet_v2=WEIGHTS --data FOLDER --image-size 128
    python benchmarks/eight_bits.py RUN --biases corrected kept

All networks of a run are scored on its test images; a network with weights of its own by how often it gives the answer
that it gives in float32. Scored is the quantised network in PyTorch, which computes what the target's integers will.
Where more than 0.5 points are lost, a run's network is trained on under the run's loss. Every row goes to ``--out`` as
soon as it is known; rows that are there are not computed again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn

from unskip import load_data, make_net
from unskip.data import Data, Normalization, data_section
from unskip.deploying import data_for, task_for
from unskip.export import Scores, with_normalization
from unskip.export.bias_correction import correct_biases
from unskip.export.eight_bits import LOSS_WITHOUT_TRAINING
from unskip.export.fake_quantized import FakeQuantized
from unskip.export.file_export import for_cpu
from unskip.export.formats import find_format
from unskip.export.formats._clamps import fuse_clamps
from unskip.export.formats._pt2e import calibrated
from unskip.export.formats.base import CALIBRATION_BATCH, Conversion
from unskip.machine_memory import keep_freed_memory
from unskip.nets import StagedNet
from unskip.own_code import allow_module
from unskip.quantized_training import QuantizedTraining
from unskip.quiet import quiet
from unskip.recipe import load_recipe, recipe_from
from unskip.run_folder import RunFolder
from unskip.surgery import fold_batchnorm, residual_blocks
from unskip.tasks import Classification, Score, Task
from unskip.weights import load_net, load_weights

CALIBRATION = 256
BIASES = "whether biases make up for what rounding the weights adds on average, as in what `unskip export` writes"
COLUMNS = (
    "net",
    "quantiser",
    "scales",
    "biases",
    "float32",
    "after training",
    "drop",
    "trained in 8 bits",
    "drop",
    "additions",
)


@dataclass(frozen=True)
class Subject:
    """A network, its images as it takes them scaled to 0..1, and how it is judged."""

    label: str
    net: StagedNet
    data: Data
    task: Task
    normalization: Normalization
    training: QuantizedTraining | None
    seed: int = 0


def main() -> None:
    """Compute what is missing and print the table."""
    parser = subjects_parser(__doc__, image_size=224)
    parser.add_argument("--quantisers", nargs="+", default=["xnnpack", "ethos-u"], choices=["xnnpack", "ethos-u"])
    parser.add_argument("--scales", nargs="+", default=["channel", "tensor"], choices=["channel", "tensor"])
    parser.add_argument("--biases", nargs="+", default=["corrected"], choices=["corrected", "kept"], help=BIASES)
    parser.add_argument("--spread", type=float, default=0.0, help="powers of ten by which plain nets' channels differ")
    parser.add_argument("--qat-epochs", type=int, default=0)
    parser.add_argument("--train-limit", type=int, help="training images to train on with; the run's by default")
    parser.add_argument("--out", type=Path, default=Path("eight_bits.jsonl"))
    arguments = parser.parse_args()
    keep_freed_memory()
    rows = [json.loads(line) for line in arguments.out.read_text().splitlines()] if arguments.out.exists() else []
    for subject in subjects(arguments):
        for quantiser in arguments.quantisers:
            for scales, biases in product(arguments.scales, arguments.biases):
                key = {"net": subject.label, "quantiser": quantiser, "scales": scales, "biases": biases}
                key["epochs"] = arguments.qat_epochs
                if not any(key.items() <= row.items() for row in rows):
                    rows.append(key | measured(subject, quantiser, scales, biases, arguments.qat_epochs))
                    with arguments.out.open("a") as file:
                        file.write(json.dumps(rows[-1]) + "\n")
    print(table(rows))


def subjects_parser(description: str | None, image_size: int) -> argparse.ArgumentParser:
    """A command line that names networks for `subjects`, their data, and on how many test images to score them."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subjects", nargs="+", metavar="RUN or NET=WEIGHTS")
    parser.add_argument("--data")
    parser.add_argument("--image-size", type=int, default=image_size)
    parser.add_argument("--nets", nargs="*", help="labels of the runs' networks; all by default")
    parser.add_argument("--test-limit", type=int, help="test images to score on; all by default")
    parser.add_argument("--allow-module", action="append", default=[])
    parser.set_defaults(train_limit=None, spread=0.0)
    return parser


def subjects(arguments: argparse.Namespace) -> Iterator[Subject]:
    """The networks that were named."""
    for module in arguments.allow_module:
        allow_module(module)
    for text in arguments.subjects:
        source, _, weights = text.partition("=")
        if weights:
            yield published(source, Path(weights), arguments)
            continue
        run = RunFolder(Path(text))
        limits = {"test_limit": arguments.test_limit, "limit": arguments.train_limit}
        settings = [f"data.{name}={limit}" for name, limit in limits.items() if limit]
        for label in run.load_results().labels:
            if arguments.nets and label not in arguments.nets:
                continue
            file, recipe = run.weights(label), load_recipe(run.recipe)
            net, info = load_net(file)
            if not residual_blocks(net):
                spread_channels(net, arguments.spread)
            data, task = data_for(file, info, None, settings).scaled(), task_for(file, info).scaled(info.mean, info.std)
            normalization = Normalization(info.mean, info.std)
            training = QuantizedTraining(run, recipe, label, data, task, (info.mean, info.std), Console(stderr=True))
            yield Subject(f"{run.path.name}/{label}", net, data, task, normalization, training, recipe.seed)


def spread_channels(net: StagedNet, decades: float) -> None:
    """Let the channels within plain basic blocks differ in size by so many powers of ten; what is computed stays."""
    layers = dict(net.named_modules())
    for name, norm in layers.items():
        if name.endswith("body.bn1") and decades:
            count = len(norm.weight)
            order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
            factors = torch.logspace(0, decades, count)[order]
            with torch.no_grad():
                norm.weight *= factors
                norm.bias *= factors
                layers[name.removesuffix("bn1") + "conv2"].weight /= factors[None, :, None, None]


def published(source: str, weights: Path, arguments: argparse.Namespace) -> Subject:
    """A network with weights of its own, judged by its own answers in float32."""
    net = make_net(source)
    load_weights(net, weights)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    tree = {**data_section(arguments.data), "image_size": arguments.image_size}
    if arguments.test_limit:
        tree["test_limit"] = arguments.test_limit
    data = load_data(recipe_from({"data": tree}, []).data, device="cpu", normalization=Normalization(mean, std))
    return Subject(source, net.eval(), data.scaled(), Classification(), Normalization(mean, std), None)


def measured(subject: Subject, quantiser: str, scales: str, biases: str, epochs: int) -> dict[str, Any]:
    """A row: scores in float32, after post-training quantisation and, where that loses too much, after training."""
    mean, std = subject.normalization.mean, subject.normalization.std
    folded = with_normalization(fold_batchnorm(for_cpu(subject.net)), mean, std)
    shape = subject.data.image_shape
    images = subject.data.train_images(CALIBRATION, subject.seed)
    judged = own_answers(subject, folded) if subject.training is None else list(test_batches(subject.data))
    float32 = score(subject, folded, judged)
    if biases == "corrected":
        correct_biases(folded, images.split(CALIBRATION_BATCH), partial(weight_steps, quantiser, scales))
    conversion = Conversion(folded, shape, None, {}, "xnnpack", calibration=images)
    with quiet():
        quantized = calibrated(conversion, quantizer_of(quantiser, scales, qat=False))
    scores = Scores(float32, score(subject, quantized, judged))
    row = {
        "shortcuts": len(residual_blocks(subject.net)),
        "images": scores.net.images,
        "float32": scores.net.value,
        "after": scores.file.value,
        "additions": find_format("executorch").requantized_additions(Path(), quantized),
    }
    if subject.training and epochs and scores.drop > LOSS_WITHOUT_TRAINING:
        training = subject.training.for_epochs(epochs)
        assert training is not None
        with quiet():
            fake = FakeQuantized.of(conversion, quantizer_of(quantiser, scales, qat=True), folded)
        training.train(fake.student, scores)
        with quiet():
            trained = fake.finished()
        row["trained"] = score(subject, trained, judged).value
    return row


def weight_steps(quantiser: str, scales: str, weight: Tensor) -> Tensor:
    """The steps of 8 bits of a weight's output channels, as that quantiser rounds them."""
    steps = find_format("executorch" if quantiser == "xnnpack" else "ethos_u").weight_steps(weight)
    return steps if scales == "channel" else steps.max().expand(len(steps))


def quantizer_of(name: str, scales: str, *, qat: bool) -> Any:
    """A quantiser whose weights have a scale by output channel, or one for a whole layer."""
    settings = {"is_per_channel": scales == "channel", "is_qat": qat}
    if name == "xnnpack":
        from executorch.backends.xnnpack.quantizer import xnnpack_quantizer as xnnpack

        how = xnnpack.get_symmetric_quantization_config(**settings)
        return fuse_clamps(xnnpack.XNNPACKQuantizer().set_global(how), how)
    from executorch.backends.arm import quantizer as arm
    from executorch.backends.arm.ethosu import EthosUCompileSpec

    made = arm.EthosUQuantizer(EthosUCompileSpec("ethos-u55-128"))
    made.set_global(arm.get_symmetric_quantization_config(**settings))
    return made


def test_batches(data: Data) -> Iterator[Any]:
    """Test images scaled to 0..1, and labels."""
    return data.test_batches(256).epoch(0)


def own_answers(subject: Subject, net: nn.Module) -> list[Any]:
    """Test images with the classes that the network gives them in float32."""
    with torch.no_grad():
        return [(images, net(images).argmax(1)) for images, _ in test_batches(subject.data)]


def score(subject: Subject, net: nn.Module, batches: list[Any]) -> Score:
    """How well a network does."""
    task = replace(subject.task, num_classes=None) if isinstance(subject.task, Classification) else subject.task
    with torch.no_grad():
        return task.evaluate(net, batches)


def table(rows: list[dict[str, Any]]) -> str:
    """Per cent, drops in points; the additions that requantise in the quantised graph."""
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    for row in rows:
        trained = row.get("trained")
        figures = [
            f"{100 * row['float32']:.2f}",
            f"{100 * row['after']:.2f}",
            f"{100 * (row['float32'] - row['after']):.2f}",
            "" if trained is None else f"{100 * trained:.2f}",
            "" if trained is None else f"{100 * (row['float32'] - trained):.2f}",
            str(row["additions"]),
        ]
        how = [row["net"], row["quantiser"], f"by {row['scales']}", row["biases"]]
        lines.append(f"| {' | '.join([*how, *figures])} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
