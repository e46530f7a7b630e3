"""The machine and the versions that a run's figures belong to."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import torch

_PACKAGES = (
    "torch",
    "torchvision",
    "torchao",
    "lightning-fabric",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "executorch",
    "openvino",
    "ncnn",
    "pnnx",
    "numpy",
    "safetensors",
)


def describe_environment() -> dict[str, str | int]:
    """Versions, processor, cores and accelerator."""
    facts: dict[str, str | int] = {"unskip": version("unskip"), "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            continue
    capabilities = torch.cpu.get_capabilities()
    return facts | {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": str(capabilities.get("cpu_name") or platform.processor() or "unknown"),
        "bf16_on_cpu": " ".join(name for name in ("amx_bf16", "avx512_bf16", "bf16") if capabilities.get(name)) or "no",
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }
