"""Ways to a cheaper network at equal multiply-accumulates, each after equal training from one trained teacher.

    cd studies/equal-cost
    python compare.py resnet20 --weights resnet20-12fca82f.th --data CIFAR --out results
    python compare.py resnet20 --out results --print

The weights are those of cifar_nets.py's networks, as their author publishes them. The teacher is trained on for a while
first, on the same images, since they differ from those that it knows. Every training is a line in
``results/resnet20.jsonl`` as soon as it ends; the same command goes on with those that are missing. A student that is
made in two steps has half of the epochs for each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from unskip import StagedNet, distill, load_data, make_net
from unskip.data import Data
from unskip.dataflow import count_macs, forecast, num_parameters
from unskip.evaluation import evaluate
from unskip.export import estimate_untrained
from unskip.measures import device_figures
from unskip.methods import method_from
from unskip.recipe import DataRecipe, TrainingRecipe
from unskip.recipe.training import SGD, Cosine, OneCycle
from unskip.runtimes import configured
from unskip.surgery import Edit, edited
from unskip.weights import load_weights

SHAPE = (3, 32, 32)
DEVICE = "ethos-u55-128"
RATES = (0.1, 0.03)
SEEDS = (0, 1, 2)
PRUNED: Edit = ("with_pruned_channels", {"ratio": 0.25})
# Padding shortcuts let no channel of a stage's own maps go; this many of those inside of blocks cost as much.
PRUNED_INSIDE: Edit = ("with_pruned_channels", {"ratio": 0.4375})
PLAIN: Edit = ("without_shortcuts", {})
FADING: Edit = ("with_fading_shortcuts", {})
SHORTENED: Edit = ("with_shortened_shortcuts", {})
FEWER: Mapping[str, Edit] = {
    "resnet20": ("at_depth", {"blocks": [2, 2, 1]}),
    "resnet56": ("at_depth", {"blocks": [5, 5, 5]}),
}


@dataclass(frozen=True)
class Step:
    """Edits, and the method that trains what they make for a share of the epochs."""

    edits: tuple[Edit, ...]
    method: str
    share: float = 1.0


def students(net: str) -> dict[str, tuple[Step, ...]]:
    """The ways by name; all but the first come to about the same multiply-accumulates."""
    fewer = FEWER[net]
    return {
        "plain (more MACs)": (Step((FADING,), "fade_kd"),),
        "plain, then pruned": (Step((FADING,), "fade_kd", 0.5), Step((PRUNED,), "align_kd", 0.5)),
        "plain and pruned at once": (Step((PLAIN, PRUNED), "align_kd"),),
        "pruned, then plain": (Step((PRUNED_INSIDE, FADING), "fade_kd"),),
        "pruned": (Step((PRUNED_INSIDE,), "align_kd"),),
        "fewer blocks": (Step((fewer,), "align_kd"),),
        "fewer blocks, shortened": (Step((fewer, SHORTENED), "align_kd"),),
    }


@dataclass(frozen=True)
class Setting:
    """What all trainings share."""

    net: str
    weights: Path
    data: str
    images: int
    test_images: int
    epochs: int
    teacher_epochs: int


def trained_teacher(setting: Setting, data: Data, file: Path) -> tuple[StagedNet, float, float]:
    """The teacher, and its accuracy as published and after training on."""
    teacher = make_net(f"cifar_nets:{setting.net}").eval()
    load_weights(teacher, setting.weights)
    published = accuracy(teacher, data)
    if file.is_file():
        load_weights(teacher, file)
    else:
        training = TrainingRecipe(
            epochs=setting.teacher_epochs, optimizer=SGD(lr=0.01), schedule=Cosine(), validate_every=1000
        )
        distill(None, data, method_from("ce", {}), student=teacher, training=training)
        torch.save(teacher.state_dict(), file)
    teacher.eval()
    return teacher, published, accuracy(teacher, data)


def accuracy(net: StagedNet, data: Data) -> float:
    """Top-1 on the test images, in per cent."""
    return 100 * evaluate(net.eval(), data.test_batches(500).epoch(0)).value


def trained(teacher: StagedNet, data: Data, steps: Sequence[Step], epochs: int, rate: float, seed: int) -> StagedNet:
    """What ships after all steps."""
    net = teacher
    for step in steps:
        training = TrainingRecipe(
            epochs=round(step.share * epochs), schedule=OneCycle(max_lr=rate), validate_every=1000
        )
        student = edited(net, step.edits, seed=seed).requires_grad_()
        net = distill(teacher, data, method_from(step.method, {}), student=student, training=training, seed=seed)[
            "student"
        ]
    return net


def costs(net: StagedNet) -> dict[str, float]:
    """What one image costs, counted, and on the device by its compiler, where that is installed."""
    assert net.spec is not None
    counted = {
        "macs": count_macs(net, SHAPE),
        "parameters": num_parameters(net),
        "peak": forecast(net, SHAPE).peak_bytes,
        "peak_int8": forecast(net, SHAPE, bytes_per_element=1).peak_bytes,
    }
    figures = device_figures(estimate_untrained(net.spec, SHAPE, configured(DEVICE)))
    return counted | {name: figure.value for name, figure in figures.items() if figure.value is not None}


def run(setting: Setting, out: Path) -> None:
    """All trainings that are missing: the first seed at every rate, then the others at the better one of each."""
    out.mkdir(parents=True, exist_ok=True)
    lines = out / f"{setting.net}.jsonl"
    data = load_data(
        DataRecipe(name="cifar10", path=setting.data, limit=setting.images, test_limit=setting.test_images)
    )
    teacher, published, own = trained_teacher(setting, data, out / f"{setting.net}-teacher.pt")
    if not any("published" in line for line in read(lines)):
        shared = {key: str(value) for key, value in vars(setting).items() if key not in ("weights", "data")}
        append(lines, {"student": "teacher", "published": published, "top1": own, **shared, "costs": costs(teacher)})
    for name, rate, seed in wanted(setting.net, lines):
        started = time.perf_counter()
        net = trained(teacher, data, students(setting.net)[name], setting.epochs, rate, seed)
        line = {"student": name, "rate": rate, "seed": seed, "top1": accuracy(net, data)}
        line |= {"seconds": time.perf_counter() - started, "teacher": own}
        append(lines, line | {"spec": str(net.spec), "costs": costs(net)})


def wanted(net: str, lines: Path) -> Iterator[tuple[str, float, int]]:
    """Students, rates and seeds that no line has yet; which rate later seeds take, the lines of the first say."""
    for seed in SEEDS:
        for rate in RATES:
            for name in students(net):
                if seed != SEEDS[0] and rate != best_rate(read(lines), name):
                    continue
                if not any(
                    (each.get("student"), each.get("rate"), each.get("seed")) == (name, rate, seed)
                    for each in read(lines)
                ):
                    yield name, rate, seed


def best_rate(lines: Sequence[Mapping[str, Any]], name: str) -> float:
    """The rate with the better accuracy at the first seed."""
    first = [line for line in lines if line["student"] == name and line.get("seed") == SEEDS[0]]
    return max(first, key=lambda line: line["top1"], default={"rate": RATES[0]})["rate"]


def read(file: Path) -> list[dict[str, Any]]:
    """The lines of a file; none where there is no file."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []


def append(file: Path, line: Mapping[str, Any]) -> None:
    """Write a line behind the others."""
    with file.open("a") as opened:
        opened.write(json.dumps(line) + "\n")


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    """Students with accuracy at their better rate, each seed's, beside what they cost."""
    head = ["student", "rate", "top-1, mean ± sd", "seeds", "MMACs", "peak, KiB (float32)", "kcycles", "SRAM, KiB"]
    rows = [head, ["---"] * len(head)]
    for name in dict.fromkeys(line["student"] for line in lines):
        rate = best_rate(lines, name) if name != "teacher" else None
        chosen = [line for line in lines if line["student"] == name and line.get("rate") == rate]
        scores = [line["top1"] for line in chosen]
        spread = f" ± {statistics.stdev(scores):.2f}" if len(scores) > 1 else ""
        cost = chosen[0]["costs"]
        rows.append(
            [
                name,
                "" if rate is None else f"{rate:g}",
                f"{statistics.mean(scores):.2f}{spread}",
                ", ".join(f"{score:.2f}" for score in scores),
                f"{cost['macs'] / 1e6:.1f}",
                f"{cost['peak'] / 1024:.0f}",
                f"{cost['cycles'] / 1e3:.0f}" if "cycles" in cost else "",
                f"{cost['sram'] / 1024:.0f}" if "sram" in cost else "",
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    """Train what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("net", choices=list(FEWER))
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--data")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--test-images", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--teacher-epochs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--print", action="store_true", dest="only_print", help="train nothing")
    arguments = vars(parser.parse_args())
    out, only_print = arguments.pop("out"), arguments.pop("only_print")
    if not only_print:
        run(Setting(**arguments), out)
    print(table(read(out / f"{arguments['net']}.jsonl")))


if __name__ == "__main__":
    main()
