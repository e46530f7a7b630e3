"""Exported files in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import torch
from torch import Tensor

from unskip.errors import UnskipError

__all__ = ["RUNTIME", "cpu_session", "run_session"]

RUNTIME = f"ONNX Runtime {onnxruntime.__version__}"


def cpu_session(path: Path, *, threads: int | None = None) -> onnxruntime.InferenceSession:
    """A session for a file on the CPU.

    ``threads`` work within an operation (None: the runtime chooses), one between operations. With a given
    number, waiting threads sleep instead of spinning, so that sessions timed in turns do not disturb each other.
    Raises `UnskipError` when the runtime cannot load the file.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.inter_op_num_threads = 1
    if threads is not None:
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise UnskipError(f"{RUNTIME} cannot load {path}: {error}") from error


def run_session(session: onnxruntime.InferenceSession, images: Tensor) -> Tensor:
    """Logits (B, classes) on the CPU for images (B, C, H, W), which are converted to float32."""
    feeds = {session.get_inputs()[0].name: images.detach().to("cpu", torch.float32).numpy()}
    return torch.from_numpy(session.run(None, feeds)[0])
