"""ONNX: write, read back, compare with eager, refuse a file that differs."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor

from unskip.environment import package_version
from unskip.errors import UnskipError
from unskip.files import atomic_path
from unskip.nets import StagedNet
from unskip.runtimes import find_runtime
from unskip.surgery import fold_batchnorm

__all__ = ["Exported", "export_onnx"]

READ_BACK_BATCH = 32
MAX_FILE_BYTES = 2**31 - 1  # of one protobuf message


@dataclass(frozen=True)
class Exported:
    """A file that was written and proved.

    ``max_difference`` and ``mean_difference`` compare the file's logits with those of the network, relative
    to the largest absolute logit; ``agreement`` is the share of ``images`` with the same top-1 class.
    """

    path: Path
    file_bytes: int
    max_difference: float
    mean_difference: float
    tolerance: float
    agreement: float
    images: int
    opset: int


def export_onnx(
    net: StagedNet,
    path: Path,
    images: Tensor,
    *,
    metadata: Mapping[str, str] | None = None,
    tolerance: float = 1e-3,
) -> Exported:
    """Write a network as one ONNX file and prove it on real images (N, C, H, W).

    The file holds the network for inference, BatchNorm folded, weights included; input ``images`` (batch, C,
    H, W), output ``logits`` (batch, classes), the batch size free. Its metadata are ``metadata`` together
    with the input's shape, the net's spec and the version of unskip. The file is run in ONNX Runtime on the
    images, in several batch sizes, and compared with the network as it is, in float32.

    Raises `UnskipError` when the logits differ by more than ``tolerance``, relative to the largest absolute
    logit. What stood at ``path`` before is then still there.
    """
    if not len(images):
        raise UnskipError("an export is proved on images, and there are none")
    images = images.detach().to("cpu", torch.float32)
    eager = copy.deepcopy(net).to("cpu", torch.float32).eval()
    model = _convert(fold_batchnorm(eager), images)
    onnx.helper.set_model_props(model, _facts(net, images) | dict(metadata or {}))
    if model.ByteSize() > MAX_FILE_BYTES:
        raise UnskipError("the network is larger than 2 GB, more than one ONNX file can hold")
    path = Path(path)
    with atomic_path(path) as temporary:
        onnx.save_model(model, temporary)
        onnx.checker.check_model(temporary, full_check=True)
        with torch.inference_mode():
            expected = torch.cat([eager(batch) for batch in _batches(images)])
        logits = _read_back(temporary, images)
        return _compare(logits, expected, path, temporary.stat().st_size, tolerance, _opset(model))


def _convert(net: StagedNet, images: Tensor) -> onnx.ModelProto:
    # With an example of one image, torch.export would take the batch size for a constant.
    example = torch.zeros(2, *images.shape[1:])
    with _quiet():
        program = torch.onnx.export(
            net,
            (example,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=["images"],
            output_names=["logits"],
            verbose=False,
        )
    assert program is not None
    return _with_pads_apart(_without_traces(program.model_proto))


def _without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop what the exporter notes for debugging: stack traces with this machine's paths, and the like."""
    graph = model.graph
    for part in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer, graph):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return model


def _with_pads_apart(model: onnx.ModelProto) -> onnx.ModelProto:
    """Keep ONNX Runtime from merging a padding with zeros into the max-pool behind it, which pads with -infinity.

    It does so (1.31) where the value is exactly 0, and answers otherwise wherever a window at the border is negative,
    as in the stem of BiT's networks. The smallest normal number in the place of 0 stops it and changes nothing else.
    """
    graph = model.graph
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    pooled = {node.input[0] for node in graph.node if node.op_type == "MaxPool"}
    for node in graph.node:
        if node.op_type != "Pad" or node.output[0] not in pooled or len(node.input) < 3:
            continue
        value = values.get(node.input[2])
        if value is not None and value.dtype == np.float32 and not value.any():
            node.input[2] = f"{node.output[0]}_value"
            tiny = np.full_like(value, np.finfo(np.float32).tiny)
            graph.initializer.append(onnx.numpy_helper.from_array(tiny, node.input[2]))
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's progress, warnings and log records; its errors still rise as exceptions."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _facts(net: StagedNet, images: Tensor) -> dict[str, str]:
    facts = {"unskip": package_version(), "image_shape": json.dumps(list(images.shape[1:]))}
    return facts | ({"net": json.dumps(net.spec.to_json())} if net.spec else {})


def _batches(images: Tensor) -> list[Tensor]:
    """One image, full batches, and what remains: a file with a fixed batch size cannot take them."""
    first, rest = images[:1], images[1:]
    return [first, *(rest.split(READ_BACK_BATCH) if len(rest) else ())]


def _read_back(path: Path, images: Tensor) -> Tensor:
    program = find_runtime("onnxruntime").load(path)
    try:
        program(images[:1].expand(2, -1, -1, -1).numpy())
        return torch.cat([torch.from_numpy(program(batch.numpy())) for batch in _batches(images)])
    except Exception as error:
        raise UnskipError(f"the exported file does not run in ONNX Runtime: {error}") from error


def _compare(logits: Tensor, expected: Tensor, path: Path, file_bytes: int, tolerance: float, opset: int) -> Exported:
    if logits.shape != expected.shape:
        raise UnskipError(f"{path} was not written: the exported file gives {logits.shape}, not {expected.shape}")
    difference = (logits - expected).abs() / expected.abs().max().clamp_min(torch.finfo(torch.float32).tiny)
    exported = Exported(
        path=path,
        file_bytes=file_bytes,
        max_difference=difference.max().item(),
        mean_difference=difference.mean().item(),
        tolerance=tolerance,
        agreement=(logits.argmax(1) == expected.argmax(1)).float().mean().item(),
        images=len(logits),
        opset=opset,
    )
    if not exported.max_difference <= tolerance:  # NaN included
        raise UnskipError(
            f"{path} was not written: its logits differ from the network's by {exported.max_difference:.2g} of "
            f"the largest logit, and {tolerance:.2g} is allowed; top-1 agrees on {exported.agreement:.1%} of "
            f"{exported.images} images"
        )
    return exported


def _opset(model: onnx.ModelProto) -> int:
    return next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
