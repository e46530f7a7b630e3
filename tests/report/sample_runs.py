"""Runs as another part of the toolkit would write them, without training anything."""

import copy
import math
from typing import Any

TERMS = {"ce": ("ce",), "kd": ("ce", "kl"), "align_kd": ("ce", "kl", "feature")}
ACCURACY = {"ce": 0.612, "kd": 0.783, "align_kd": 0.910, "joint_rd": 0.874, "stagewise_kd": 0.861}


def curve(
    epochs: int, final: float, every: int = 1, terms: tuple[str, ...] = ("ce", "kl", "feature")
) -> list[dict[str, Any]]:
    """Epochs of a training that ends at the accuracy ``final``."""
    history = []
    for epoch in range(1, epochs + 1):
        share = epoch / epochs
        top1 = final * (1 - 0.6 * math.exp(-4 * share) + 0.02 * math.sin(epoch * 7.3) * (1 - share))
        values = {term: 2.2 / (i * 3 + 1) * math.exp(-2.4 * share) + 0.02 for i, term in enumerate(terms)}
        validated = epoch % every == 0 or epoch == epochs
        history.append(
            {
                "epoch": epoch,
                "seconds": 6.4 * epoch * (1 + 0.2 * len(terms)),
                "lr": 0.1 * (1 - share),
                "images_per_second": 7800.0,
                "loss": sum(values.values()),
                "terms": values,
                "score": (final if epoch == epochs else top1) if validated else None,
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
    }


def net(label: str, top1: float, memory: dict[str, Any], **other: Any) -> dict[str, Any]:
    """One entry of ``nets``."""
    teacher = label == "teacher"
    return {
        "label": label,
        "role": "teacher" if teacher else "student",
        "method": None if teacher else label,
        "net": "resnet32",
        "shortcuts": 15 if teacher else 0,
        "epochs": 30,
        "training_seconds": 268.0,
        "reused": False,
        "top1": top1,
        "top5": min(1.0, top1 + 0.06),
        "parameters": 464_154 if teacher else 461_882,
        "macs": 69_124_480 if teacher else 68_862_336,
        "peak_bytes": memory["peak_bytes"],
        "latency": {"median_ms": 1.42, "low_ms": 1.40, "high_ms": 1.47}
        if teacher
        else {"median_ms": 1.31, "low_ms": 1.29, "high_ms": 1.36},
        "file": f"export/{label}.onnx",
        "file_bytes": 1_883_204 if teacher else 1_858_551,
        "parity": {"max_difference": 2.13e-6, "tolerance": 1e-4, "agreement": 1.0, "images": 256},
        **other,
    }


def run(methods: tuple[str, ...] = ("ce", "kd", "align_kd"), epochs: int = 30, stem: int = 1) -> dict[str, Any]:
    """A run.json of CIFAR-10 size whose best student is the last of ``methods``."""
    memory = {"teacher": timeline(True, stem=stem), "student": timeline(False, stem=stem)}
    nets = [net("teacher", 0.934, memory["teacher"], epochs=epochs)]
    nets += [net(m, ACCURACY.get(m, 0.88), memory["student"], epochs=epochs) for m in methods]
    history = {"teacher": curve(epochs, 0.934, terms=("ce",))}
    history |= {n["label"]: curve(epochs, n["top1"], terms=TERMS.get(n["label"], ("ce", "kl"))) for n in nets[1:]}
    return {
        "unskip": "0.1.0",
        "title": "CIFAR-10, resnet32 without shortcuts",
        "started": "2026-03-02T09:14:07+00:00",
        "seconds": 1384.2,
        "best": methods[-1],
        "seed": 0,
        "data": {
            "name": "cifar10",
            "path": "data/cifar10",
            "num_train": 50_000,
            "num_test": 10_000,
            "classes": [
                "airplane",
                "automobile",
                "bird",
                "cat",
                "deer",
                "dog",
                "frog",
                "horse",
                "ship",
                "truck",
            ],
            "image_shape": [3, 32, 32],
            "fingerprint": "9f2c41d07ab3e865",
        },
        "nets": nets,
        "history": history,
        "memory": {
            "policy": "float32, batch 1, BatchNorm folded, element-wise operations in place",
            "nets": memory,
        },
        "latency": {
            "runtime": "ONNX Runtime 1.31.1",
            "threads": 1,
            "batch_size": 1,
            "repeats": 50,
            "speedup": 1.42 / 1.31,
        },
        "recipe": {
            "data": {"name": "cifar10", "path": "data/cifar10", "flip": True},
            "teacher": {"net": "resnet32"},
            "methods": [{"name": m} for m in methods],
            "training": {"epochs": epochs, "batch_size": 128, "optimizer": {"name": "sgd", "lr": 0.01}},
            "seed": 0,
        },
        "environment": {
            "python": "3.11.7",
            "torch": "2.13.0",
            "cpu": "AMD EPYC 9554",
            "cores": 2,
            "gpu": None,
        },
    }


def with_accuracies(record: dict[str, Any], **top1: float) -> dict[str, Any]:
    """The record with other accuracies, by label."""
    record = copy.deepcopy(record)
    for entry in record["nets"]:
        entry["top1"] = top1.get(entry["label"], entry["top1"])
    return record


def without_latency(record: dict[str, Any]) -> dict[str, Any]:
    """The record of a run that measured no latency."""
    nets = [{**entry, "latency": None} for entry in record["nets"]]
    return {**copy.deepcopy(record), "latency": None, "nets": nets}


def diverged(record: dict[str, Any]) -> dict[str, Any]:
    """The record with a loss that left the numbers in the last third of the best student's training."""
    record = copy.deepcopy(record)
    epochs = record["history"][record["best"]]
    for epoch in epochs[2 * len(epochs) // 3 :]:
        epoch["loss"] = math.nan
        epoch["terms"] = dict.fromkeys(epoch["terms"], math.inf)
    return record


def one_training() -> dict[str, Any]:
    """A run with a student that keeps its shortcuts, two sub-nets out of its training, and a student without them."""
    record = run(("embedded_kd-full", "embedded_kd-2-2-2", "embedded_kd-3-3-3", "ce"))
    teacher, full, small, middle, _ = record["nets"]
    same = {key: teacher[key] for key in ("shortcuts", "parameters", "macs", "peak_bytes", "latency")}
    for entry, top1, blocks in ((full, 0.936, None), (small, 0.902, [2, 2, 2]), (middle, 0.921, [3, 3, 3])):
        entry |= {**same, "method": "embedded_kd", "training": "embedded_kd", "depth": blocks, "top1": top1}
    small |= {"shortcuts": 6, "parameters": 175_258, "macs": 26_000_000}
    middle |= {"shortcuts": 9, "parameters": 272_474, "macs": 40_813_184}
    record["history"] |= {"embedded_kd": curve(30, 0.935, terms=("ce", "sub_ce", "kl", "attention"))}
    record["history"] = {label: record["history"][label] for label in ("teacher", "embedded_kd", "ce")}
    record["memory"]["nets"]["student"] = record["memory"]["nets"]["teacher"]
    return {**record, "best": "embedded_kd-full"}


LONG = "align_kd with feature_weight 0.01 and a very long name"
HOSTILE = "<script>alert('$x_')</script>&\"'\x07"


def variants() -> dict[str, dict[str, Any]]:
    """One run for everything that a page must cope with."""
    standard = run()
    few_classes = run(("align_kd",))
    few_classes["data"]["classes"] = ["yes", "no"]
    few_classes["nets"] = [{**entry, "top5": None} for entry in few_classes["nets"]]
    reused = run()
    reused["nets"][0] |= {"reused": True, "training_seconds": None}
    del reused["history"]["teacher"]
    hostile = run((HOSTILE,))
    hostile |= {"title": HOSTILE, "environment": {HOSTILE: HOSTILE}, "recipe": {HOSTILE: [HOSTILE]}}
    hostile["data"] |= {"name": HOSTILE, "path": HOSTILE, "classes": [HOSTILE, "日本語"]}
    hostile["memory"] |= {"policy": HOSTILE}
    hostile["nets"][1] |= {"net": HOSTILE, "file": HOSTILE}
    return {
        "standard": standard,
        "one_method": few_classes,
        "no_latency": without_latency(standard),
        "no_memory_gain": run(stem=4),
        "five_students": run(("ce", "kd", "joint_rd", "stagewise_kd", "align_kd")),
        "long_labels": run(("ce", "日本語 kd", LONG)),
        "epochs_200": run(epochs=200),
        "epoch_1": run(epochs=1),
        "negative_gain": with_accuracies(standard, align_kd=0.55),
        "reused_teacher": reused,
        "one_training": one_training(),
        "diverged": diverged(standard),
        "hostile": hostile,
    }
