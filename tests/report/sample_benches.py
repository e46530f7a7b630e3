"""Benchmarks as another part of the toolkit would write them, without measuring anything."""

import copy
from typing import Any

from sample_runs import HOSTILE, timeline

REASON = "ExecuTorch is not installed: pip install 'unskip[executorch]'"


def subject(label: str, shortcuts: bool, **other: Any) -> dict[str, Any]:
    return {
        "label": label,
        "kind": "name",
        "net": "resnet32" if shortcuts else "resnet32 without shortcuts",
        "input_shape": [3, 32, 32],
        "shortcuts": 15 if shortcuts else 0,
        "parameters": 464_154,
        "macs": 69_124_480,
        "memory": timeline(shortcuts),
        "policy": "float32 feature maps, batch 1",
        **other,
    }


def cell(label: str, ms: float, ratio: tuple[float, float, float] | None, **other: Any) -> dict[str, Any]:
    found = ratio and {
        "median": ratio[1],
        "p10": ratio[0],
        "p90": ratio[2],
        "difference_shown": not ratio[0] <= 1 <= ratio[2],
    }
    return {
        "subject": label,
        "file": f"{label}.onnx",
        "file_bytes": 1_883_204,
        "sha256": "ab" * 32,
        "latency": {
            "median_ms": ms,
            "p10_ms": ms - 0.1,
            "p90_ms": ms + 0.2,
            "images_per_second": 1e3 / ms,
            "samples_ms": [ms - 0.1, ms, ms + 0.2],
        },
        "ratio": found,
        "memory": {"forecast_bytes": 196_608, "arena_bytes": 200_000, "resident_rise_bytes": 12_000_000},
        "accuracy": {"top1": 0.91, "top5": 0.99, "images": 10_000},
        "parity": {"max_difference": 2.1e-6, "agreement": 1.0, "images": 16, "real_images": True},
        **other,
    }


def bench() -> dict[str, Any]:
    """Two nets in two settings: faster in the one, no difference in the other."""
    smaller = {"forecast_bytes": 131_072, "arena_bytes": 131_072, "resident_rise_bytes": 12_000_000}
    group = {"runtime": "ONNX Runtime 1.31.1", "threads": 1, "batch_size": 1, "device": "cpu"}
    faster = cell("plain", 1.31, (1.06, 1.08, 1.11), memory=smaller)
    equal = cell("plain", 1.41, (0.97, 1.01, 1.04), memory=smaller, accuracy={"top1": 0.88, "images": 10_000})
    return {
        "unskip": "0.1.0",
        "started": "2026-03-02T09:14:07+00:00",
        "seconds": 84.2,
        "repeats": 50,
        "processes": 3,
        "load": {"average": 0.1, "cores": 2, "warning": None},
        "subjects": [subject("residual", True), subject("plain", False)],
        "groups": [
            group | {"cells": [cell("residual", 1.42, None), faster]},
            group | {"threads": 2, "cells": [cell("residual", 1.42, None), equal]},
        ],
        "notes": [],
        "environment": {"python": "3.11.7", "cores": 2},
    }


def variants() -> dict[str, dict[str, Any]]:
    """One benchmark for everything that a page must cope with."""
    standard = bench()
    refused = bench()
    refused["groups"][0]["cells"][1] = {"subject": "plain", "refused": "plain.onnx takes batches of 2, not of 1"}
    unknown = bench()
    unknown["subjects"][1] |= {"net": None, "shortcuts": None, "memory": None, "policy": None}
    for group in unknown["groups"]:
        for found in group["cells"]:
            found |= {"accuracy": None, "no_accuracy": "the weights are random", "parity": None}
            found["memory"] = {"resident_rise_bytes": None, "unknown": {"arena_bytes": REASON}}
    alone = bench()
    alone["subjects"] = alone["subjects"][:1]
    alone["groups"] = [{**group, "cells": group["cells"][:1]} for group in alone["groups"]]
    busy = bench() | {"load": {"average": 3.1, "cores": 2, "warning": "other processes load this machine"}}
    busy["notes"] = ["The images differ in their shape."]
    cuda = bench()
    for group in cuda["groups"]:
        group["device"] = "cuda"
        group["cells"] = [copy.deepcopy(found) for found in group["cells"]]
        group["cells"][0]["memory"]["device_peak_bytes"] = 50_000_000
    hostile = bench()
    hostile["subjects"][1] |= {"label": HOSTILE, "net": HOSTILE}
    for group in hostile["groups"]:
        group["cells"][1] |= {"subject": HOSTILE, "file": HOSTILE}
    return {
        "standard": standard,
        "refused": refused,
        "unknown": unknown,
        "alone": alone,
        "busy": busy,
        "cuda": cuda,
        "hostile": hostile,
    }
