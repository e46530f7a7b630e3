"""Comparisons and runs as the toolkit writes them, as plain data, without measuring or training anything."""

import copy
import math
from typing import Any

from unskip.measures import measures

TERMS = {"ce": ("ce",), "kd": ("ce", "kl"), "align_kd": ("ce", "kl", "feature")}
ACCURACY = {"ce": 0.612, "kd": 0.783, "align_kd": 0.910, "joint_rd": 0.874, "stagewise_kd": 0.861}
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def figure(value: float | None = None, **other: Any) -> dict[str, Any]:
    return {"value": value, **other}


def latency(median: float) -> dict[str, Any]:
    """With a spread, as of three rounds."""
    return {"value": median, "low": median - 0.1, "high": median + 0.2, "samples": [median - 0.1, median, median + 0.2]}


def curve(
    epochs: int, final: float, every: int = 1, terms: tuple[str, ...] = ("ce", "kl", "feature")
) -> list[dict[str, Any]]:
    """Epochs of a training that ends at the score ``final``."""
    history = []
    for epoch in range(1, epochs + 1):
        share = epoch / epochs
        score = final * (1 - 0.6 * math.exp(-4 * share) + 0.02 * math.sin(epoch * 7.3) * (1 - share))
        values = {term: 2.2 / (i * 3 + 1) * math.exp(-2.4 * share) + 0.02 for i, term in enumerate(terms)}
        validated = epoch % every == 0 or epoch == epochs
        history.append(
            {
                "epoch": epoch,
                "seconds": 6.4 * epoch * (1 + 0.2 * len(terms)),
                "loss": sum(values.values()),
                "terms": values,
                "score": (final if epoch == epochs else score) if validated else None,
            }
        )
    return history


def timeline(shortcuts: bool, blocks: int = 5, stem: int = 1) -> dict[str, Any]:
    """Live bytes of a three-stage net for 32 px images; ``stem`` multiplies what the stem holds."""
    operations = [("stem.conv", stem * (3 + 16) * 1024 * 4)]
    for stage in (1, 2, 3):
        size = 16 * 1024 * 4 >> (stage - 1)
        for block in range(1, blocks + 1):
            before = 2 * size if stage > 1 and block == 1 else size
            held = before if shortcuts else 0
            body = ".body" if shortcuts else ""
            operations.append((f"stage{stage}.block{block}{body}.conv1", before + size))
            operations.append((f"stage{stage}.block{block}{body}.conv2", 2 * size + held))
            if shortcuts:
                operations.append((f"stage{stage}.block{block}.add", size + held))
    operations += [("head.pool", 16 * 1024 + 256), ("head.linear", 256 + 40)]
    name, peak = max(operations, key=lambda pair: pair[1])
    return {
        "operations": [{"name": n, "live_bytes": b} for n, b in operations],
        "peak_bytes": peak,
        "peak_at": name,
        "policy": "float32, batch 1, BatchNorm folded, element-wise operations in place",
    }


def subject(label: str, shortcuts: bool, memory: dict[str, Any] | None = None, **other: Any) -> dict[str, Any]:
    """A network with its own figures; ``figures`` in ``other`` come on top."""
    memory = memory or timeline(shortcuts)
    figures = {
        "parameters": figure(464_154 if shortcuts else 461_882),
        "macs": figure(69_124_480 if shortcuts else 68_862_336),
        "peak": figure(memory["peak_bytes"]),
    }
    return {
        "label": label,
        "kind": "name",
        "net": "resnet32" if shortcuts else "resnet32 without shortcuts",
        "source": "resnet32",
        "shortcuts": 15 if shortcuts else 0,
        "input_shape": [3, 32, 32],
        "memory": memory,
        **other,
        "figures": figures | other.get("figures", {}),
    }


def cell(
    label: str, ms: float, ratio: tuple[float, float, float] | None, figures: Any = (), **other: Any
) -> dict[str, Any]:
    """A file's figures; ``ratio``: low, median, high of the times as fast as the first."""
    standard = {
        "latency": latency(ms),
        "throughput": figure(1e3 / ms),
        "peak": figure(196_608),
        "arena": figure(200_000),
        "resident": figure(12_000_000),
        "file_bytes": figure(1_883_204),
        "top1": figure(0.91, images=10_000),
        "parity": figure(2.1e-6, images=16, allowed=1e-3),
        "same_answer": figure(1.0, images=16),
    }
    return {
        "subject": label,
        "file": f"{label}.onnx",
        "sha256": "ab" * 32,
        "speedup": ratio and dict(zip(("low", "median", "high"), ratio, strict=True)),
        "figures": standard | copy.deepcopy(dict(figures)),
        **other,
    }


def comparison(subjects: list[dict[str, Any]], groups: list[dict[str, Any]], **other: Any) -> dict[str, Any]:
    return {
        "unskip": "0.1.0",
        "started": "2026-03-02T09:14:07+00:00",
        "seconds": 84.2,
        "repeats": 50,
        "processes": 3,
        "load": {"average": 0.1, "cores": 2},
        "measures": {name: measure.about.model_dump(mode="json") for name, measure in measures().items()},
        "subjects": subjects,
        "groups": groups,
        "notes": [],
        "environment": {"python": "3.11.7", "torch": "2.13.0", "cpu": "AMD EPYC 9554", "cores": 2},
        **other,
    }


def group(*cells: dict[str, Any], **other: Any) -> dict[str, Any]:
    setting = {"runtime": "ONNX Runtime 1.31.1", "threads": 1, "batch_size": 1, "device": "cpu"}
    return {**setting, "cells": list(cells), **other}


def bench() -> dict[str, Any]:
    """Two nets in two settings: faster in the one, no difference in the other."""
    smaller = {"peak": figure(131_072), "arena": figure(131_072)}
    faster = cell("plain", 1.31, (1.06, 1.08, 1.11), smaller)
    equal = cell("plain", 1.41, (0.97, 1.01, 1.04), {**smaller, "top1": figure(0.88, images=10_000)})
    first = cell("residual", 1.42, None)
    return comparison(
        [subject("residual", True), subject("plain", False)],
        [group(first, faster), group(copy.deepcopy(first), equal, threads=2)],
    )


def run(methods: tuple[str, ...] = ("ce", "kd", "align_kd"), epochs: int = 30, stem: int = 1) -> dict[str, Any]:
    """A run of CIFAR-10 size whose best student is the last of ``methods``."""
    scores = {"teacher": 0.934} | {name: ACCURACY.get(name, 0.88) for name in methods}
    subjects, cells, nets, history = [], [], [], {}
    for label, top1 in scores.items():
        teacher = label == "teacher"
        score = {"top1": figure(top1, images=10_000), "top5": figure(min(1.0, top1 + 0.06), images=10_000)}
        subjects.append(subject(label, teacher, timeline(teacher, stem=stem), kind="run", figures=score))
        ratio = None if teacher else (1.04, 1.08, 1.11)
        cells.append(cell(label, 1.42 if teacher else 1.31, ratio, score, file=f"export/{label}.onnx"))
        nets.append(
            {
                "label": label,
                "role": "teacher" if teacher else "student",
                "method": None if teacher else label,
                "epochs": epochs,
                "seconds": 268.0,
                "reused": False,
            }
        )
        history[label] = curve(epochs, top1, terms=("ce",) if teacher else TERMS.get(label, ("ce", "kl")))
    return {
        "unskip": "0.1.0",
        "title": "CIFAR-10, resnet32 without shortcuts",
        "started": "2026-03-02T09:14:07+00:00",
        "seconds": 1384.2,
        "task": "classification",
        "metric": "top1",
        "best": methods[-1],
        "seed": 0,
        "data": {
            "name": "cifar10",
            "path": "data/cifar10",
            "num_train": 50_000,
            "num_test": 10_000,
            "classes": CIFAR10,
            "image_shape": [3, 32, 32],
            "fingerprint": "9f2c41d07ab3e865",
            "chance": 0.1,
        },
        "nets": nets,
        "history": history,
        "comparison": comparison(subjects, [group(*cells)]),
        "recipe": {
            "data": {"name": "cifar10", "path": "data/cifar10", "flip": True},
            "teacher": {"net": "resnet32"},
            "methods": {name: {} for name in methods},
            "training": {"epochs": epochs, "batch_size": 128, "optimizer": {"name": "sgd", "lr": 0.01}},
            "seed": 0,
        },
    }
