"""Ways to a cheaper network at equal cost, each after equal training from one trained teacher.

    cd studies/equal-cost
    python compare.py resnet20 --weights resnet20-12fca82f.th --data CIFAR --out results
    python compare.py resnet20 --at cycles --weights resnet20-12fca82f.th --data CIFAR --out results
    python compare.py imagewoof --data IMAGEWOOF --out results
    python compare.py resnet20 --out results --print

The weights of resnet20 and resnet56 are those of cifar_nets.py's networks, as their author publishes them; such a
teacher is trained on for a while first, on the same images, since they differ from those that it knows. The teacher of
imagewoof is trained here, on all images. Every training is a line in ``results/resnet20-macs.jsonl`` as soon as it
ends; the same command goes on with those that are missing. A student that is made in two steps has half of the epochs
for each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

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

SEEDS = (0, 1, 2)
PLAIN: Edit = ("without_shortcuts", {})
FADING: Edit = ("with_fading_shortcuts", {})
SHORTENED: Edit = ("with_shortened_shortcuts", {})


def pruned(ratio: float, round_to: int = 1) -> Edit:
    """The same share of the channels of every layer, by Torch-Pruning's group magnitude."""
    return "with_pruned_channels", {"ratio": ratio, "round_to": round_to}


def blocks(*numbers: int) -> Edit:
    """The first blocks of each stage."""
    return "at_depth", {"blocks": list(numbers)}


@dataclass(frozen=True)
class Step:
    """Edits, and the method that trains what they make for a share of the epochs."""

    edits: tuple[Edit, ...]
    method: str
    share: float = 1.0


def fading(*before: Edit) -> tuple[Step, ...]:
    """Shortcuts fade while the network is trained."""
    return (Step((*before, FADING), "fade_kd"),)


def aligned(*edits: Edit) -> tuple[Step, ...]:
    """What the edits make learns the teacher's maps."""
    return (Step(edits, "align_kd"),)


def faded_then_pruned(by: Edit) -> tuple[Step, ...]:
    """Half of the epochs for either."""
    return Step((FADING,), "fade_kd", 0.5), Step((by,), "align_kd", 0.5)


@dataclass(frozen=True)
class Case:
    """A teacher, the device whose compiler counts, and the students that are compared, by name."""

    net: str
    device: str
    image_size: int
    students: Mapping[str, tuple[Step, ...]]
    rates: tuple[float, ...] = (0.1, 0.03)
    data: Literal["cifar10", "parquet"] = "cifar10"


# Padding shortcuts let no channel of a stage's own maps go, so that more of those inside of blocks must.
CASES: Mapping[tuple[str, str], Case] = {
    ("resnet20", "macs"): Case(
        "cifar_nets:resnet20",
        "ethos-u55-128",
        32,
        {
            "plain (more MACs)": fading(),
            "plain, then pruned": faded_then_pruned(pruned(0.25)),
            "plain and pruned at once": aligned(PLAIN, pruned(0.25)),
            "pruned, then plain": fading(pruned(0.4375)),
            "pruned": aligned(pruned(0.4375)),
            "fewer blocks": aligned(blocks(2, 2, 1)),
            "fewer blocks, shortened": aligned(blocks(2, 2, 1), SHORTENED),
        },
    ),
    ("resnet20", "cycles"): Case(
        "cifar_nets:resnet20",
        "ethos-u55-128",
        32,
        {
            "plain": fading(),
            "plain, then pruned": faded_then_pruned(pruned(0.125)),
            "pruned (more cycles)": aligned(pruned(0.75)),
            "fewer blocks, 1-2-1": aligned(blocks(1, 2, 1)),
            "fewer blocks, 1-1-2": aligned(blocks(1, 1, 2)),
            "fewer blocks, shortened": aligned(blocks(1, 1, 1), SHORTENED),
        },
    ),
    ("resnet56", "cycles"): Case(
        "cifar_nets:resnet56",
        "ethos-u55-128",
        32,
        {
            "plain": fading(),
            "plain, then pruned": faded_then_pruned(pruned(0.125)),
            "pruned (more cycles)": aligned(pruned(0.75)),
            "fewer blocks": aligned(blocks(5, 5, 5)),
            "fewer blocks, shortened": aligned(blocks(4, 4, 4), SHORTENED),
        },
        rates=(0.05,),
    ),
    ("imagewoof", "macs"): Case(
        "resnet18",
        "ethos-u65-256",
        64,
        {
            "plain (more MACs)": fading(),
            "plain, then pruned": faded_then_pruned(pruned(0.25, 8)),
            "pruned": aligned(pruned(0.25, 8)),
            "fewer blocks (more MACs)": aligned(blocks(2, 2, 1, 1)),
            "fewer blocks": aligned(blocks(1, 1, 1, 1)),
            "fewer blocks, shortened (more MACs)": aligned(blocks(2, 2, 1, 1), SHORTENED),
        },
        rates=(0.03,),
        data="parquet",
    ),
}


@dataclass(frozen=True)
class Setting:
    """What all trainings share."""

    case: Case
    weights: Path | None
    data: str
    images: int | None
    test_images: int | None
    epochs: int
    teacher_epochs: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """One image, (channels, height, width)."""
        return 3, self.case.image_size, self.case.image_size


def images_of(setting: Setting) -> Data:
    """CIFAR-10, or another set in the hub's Parquet layout."""
    return load_data(
        DataRecipe(
            name=setting.case.data,
            path=setting.data,
            image_size=setting.case.image_size,
            limit=setting.images,
            test_limit=setting.test_images,
        )
    )


def trained_teacher(setting: Setting, file: Path) -> tuple[StagedNet, float | None, float]:
    """The teacher, and its accuracy as published, where it was, and after training on."""
    data = images_of(replace(setting, images=None) if setting.weights is None else setting)
    teacher = make_net(setting.case.net, {} if setting.weights else {"num_classes": len(data.classes)}).eval()
    published = None
    training = TrainingRecipe(
        epochs=setting.teacher_epochs, batch_size=64, schedule=OneCycle(max_lr=0.05), validate_every=1000
    )
    if setting.weights is not None:
        load_weights(teacher, setting.weights)
        published = accuracy(teacher, data)
        training = TrainingRecipe(
            epochs=setting.teacher_epochs, optimizer=SGD(lr=0.01), schedule=Cosine(), validate_every=1000
        )
    if file.is_file():
        load_weights(teacher, file)
    else:
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


def costs(net: StagedNet, setting: Setting) -> dict[str, float]:
    """What one image costs, counted, and on the device by its compiler, where that is installed."""
    assert net.spec is not None
    counted = {
        "macs": count_macs(net, setting.shape),
        "parameters": num_parameters(net),
        "peak": forecast(net, setting.shape).peak_bytes,
        "peak_int8": forecast(net, setting.shape, bytes_per_element=1).peak_bytes,
    }
    figures = device_figures(estimate_untrained(net.spec, setting.shape, configured(setting.case.device)))
    return counted | {name: figure.value for name, figure in figures.items() if figure.value is not None}


def run(setting: Setting, lines: Path) -> None:
    """All trainings that are missing: the first seed at every rate, then the others at the better one of each."""
    lines.parent.mkdir(parents=True, exist_ok=True)
    data = images_of(setting)
    name = setting.case.net.rpartition(":")[2]
    teacher, published, own = trained_teacher(setting, lines.with_name(f"{name}-{setting.case.image_size}-teacher.pt"))
    if not any("published" in line for line in read(lines)):
        shared = {key: str(value) for key, value in vars(setting).items() if key not in ("weights", "data", "case")}
        costs_ = costs(teacher, setting)
        append(lines, {"student": "teacher", "published": published, "top1": own, **shared, "costs": costs_})
    for student, rate, seed in wanted(setting.case, lines):
        started = time.perf_counter()
        net = trained(teacher, data, setting.case.students[student], setting.epochs, rate, seed)
        line = {"student": student, "rate": rate, "seed": seed, "top1": accuracy(net, data)}
        line |= {"seconds": time.perf_counter() - started, "teacher": own}
        append(lines, line | {"spec": str(net.spec), "costs": costs(net, setting)})


def wanted(case: Case, lines: Path) -> Iterator[tuple[str, float, int]]:
    """Students, rates and seeds that no line has yet; which rate later seeds take, the lines of the first say."""
    for seed in SEEDS:
        for rate in case.rates:
            for name in case.students:
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
    return max(first, key=lambda line: line["top1"])["rate"]


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
    parser.add_argument("net", choices=list(dict.fromkeys(net for net, _ in CASES)))
    parser.add_argument("--at", choices=["macs", "cycles"], help="what is equal")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--data")
    parser.add_argument("--images", type=int)
    parser.add_argument("--test-images", type=int)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--teacher-epochs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--print", action="store_true", dest="only_print", help="train nothing")
    arguments = vars(parser.parse_args())
    net, at, out, only_print = (arguments.pop(name) for name in ("net", "at", "out", "only_print"))
    cases = {equal: case for (of, equal), case in CASES.items() if of == net}
    if at not in (None, *cases):
        parser.error(f"{net} is compared at equal {' or '.join(cases)}")
    at = at or next(iter(cases))
    if not only_print:
        run(Setting(cases[at], **arguments), out / f"{net}-{at}.jsonl")
    print(table(read(out / f"{net}-{at}.jsonl")))


if __name__ == "__main__":
    main()
