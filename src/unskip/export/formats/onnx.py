"""ONNX: one file, float32 or quantised by ONNX Runtime's own tools."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from unskip.answers import tensors_in
from unskip.errors import UnskipError
from unskip.export.formats._switchable import switched
from unskip.export.formats._torchlib import share_translations
from unskip.export.formats.base import CALIBRATION_BATCH, LARGEST_WEIGHT, Conversion, Format

MAX_FILE_BYTES = 2**31 - 1  # of one protobuf message


class Onnx(Format):
    """Input ``images`` (batch, C, H, W), output ``logits`` (batch, classes), or several by the names of their places.

    In 8 bits: QDQ nodes around everything that the normalisation feeds; weights symmetric int8 by output channel,
    feature maps asymmetric uint8 by tensor, between the least and the largest value of the calibration. Logits are
    float32, or many classes would share the first place.

    x86 processors without VNNI add the products of two weights and two values of a map in 16 bits, and ONNX Runtime
    lets the sum saturate. Here no two weights of a channel are large enough for that: all processors compute the same.
    """

    order = 0
    runtime_name = "onnxruntime"
    int8 = True
    switchable = True

    def write(self, conversion: Conversion, path: Path) -> None:
        """See :meth:`Format.write`."""
        model = onnx_model(conversion) if conversion.calibration is None else self._quantized(conversion)
        save(finished(model, conversion.facts), path)

    def weight_steps(self, weight: Tensor) -> Tensor:
        """Those by which the two largest weights of a sign make 127, or 128 when both are rounded up.

        Times 255, the largest value of a map, that stays below 2^15; two weights of different signs make less than the
        larger one. A channel with one weight much larger than the others keeps all its 8 bits, any other loses up to
        one of them. See :meth:`Format.weight_steps`.
        """
        channels = weight.flatten(1)
        count = min(2, channels.shape[1])
        pairs = [side.clamp_min(0).topk(count).values.sum(1) for side in (channels, -channels)]
        return torch.maximum(*pairs) / LARGEST_WEIGHT

    def requantized_additions(self, path: Path, quantized: nn.Module | None) -> int:
        """Counted in the file."""
        nodes = onnx.load_model(path).graph.node
        dequantized = {node.output[0] for node in nodes if node.op_type == "DequantizeLinear"}
        return sum(node.op_type == "Add" and dequantized.issuperset(node.input) for node in nodes)

    def _quantized(self, conversion: Conversion) -> onnx.ModelProto:
        """The network in 8 bits, calibrated on all images in small batches, whatever batch the file is to take."""
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
        from onnxruntime.tools.onnx_model_utils import make_input_shape_fixed

        assert conversion.calibration is not None
        model = onnx_model(replace(conversion, batch_size=None))
        batches = conversion.calibration.split(CALIBRATION_BATCH)

        class Images(CalibrationDataReader):
            def __init__(self) -> None:
                self.rest = iter(batches)

            def get_next(self) -> dict[str, Any] | None:
                batch = next(self.rest, None)
                return None if batch is None else {"images": batch.numpy()}

        with tempfile.TemporaryDirectory() as folder:
            source, path = Path(folder) / "float.onnx", Path(folder) / "quantized.onnx"
            onnx.save_model(model, source)
            quantize_static(
                source,
                path,
                Images(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                weight_type=QuantType.QInt8,
                activation_type=QuantType.QUInt8,
                nodes_to_exclude=_normalization(model),
                reduce_range=True,  # 7 bits for weights of any other operation
                extra_options={
                    "OpTypesToExcludeOutputQuantization": ["Gemm"],
                    "TensorQuantOverrides": self._weight_ranges(model),
                },
            )
            quantized = onnx.load_model(path)
        if conversion.batch_size is not None:
            make_input_shape_fixed(quantized.graph, "images", (conversion.batch_size, *conversion.input_shape))
        return quantized

    def _weight_ranges(self, model: onnx.ModelProto) -> dict[str, list[dict[str, Any]]]:
        """By the names of weights, what ONNX Runtime's tools are told of each output channel."""
        values = {tensor.name: tensor for tensor in model.graph.initializer}
        ranges = {}
        for node in model.graph.node:
            by_rows = node.op_type == "Gemm" and any(each.name == "transB" and each.i for each in node.attribute)
            if (node.op_type == "Conv" or by_rows) and node.input[1] in values:
                weight = torch.from_numpy(onnx.numpy_helper.to_array(values[node.input[1]]).copy())
                largest = [np.float32(step * LARGEST_WEIGHT) for step in self.weight_steps(weight)]
                ranges[node.input[1]] = [
                    {"axis": 0, "reduce_range": False, "rmin": -each, "rmax": each} for each in largest
                ]
        return ranges

    def write_depths(self, depths: Mapping[str, Conversion], path: Path) -> None:
        """Write one model whose second input, ``depth``, is an index into ``depths``."""
        models = [finished(onnx_model(conversion, as_it_is=True), {}) for conversion in depths.values()]
        save(finished(switched(models), next(iter(depths.values())).facts), path)


def onnx_model(conversion: Conversion, *, as_it_is: bool = False) -> onnx.ModelProto:
    """The network as torch's exporter writes it, without metadata; ``as_it_is`` keeps every BatchNorm."""
    share_translations()
    program = torch.onnx.export(
        conversion.captured(),
        dynamo=True,
        input_names=["images"],
        output_names=tensors_in(conversion.names),
        optimize=not as_it_is,
        verbose=False,
    )
    assert program is not None
    return _with_pads_apart(program.model_proto)


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


def finished(model: onnx.ModelProto, facts: Mapping[str, str]) -> onnx.ModelProto:
    """The model with its metadata, and without what exporters note for debugging, such as this machine's paths."""
    graph = model.graph
    for part in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer, graph):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    onnx.helper.set_model_props(model, dict(facts))
    return model


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write and check one file with everything in it; `UnskipError` where that is too much for one."""
    if model.ByteSize() > MAX_FILE_BYTES:
        raise UnskipError("the network is larger than 2 GB, more than one ONNX file can hold")
    onnx.save_model(model, path)
    onnx.checker.check_model(path, full_check=True)


def _normalization(model: onnx.ModelProto) -> list[str]:
    """The nodes that normalise the images: they stay in float32."""
    return [
        node.name
        for node in model.graph.node
        if any(name.startswith(("normalize.", "net.normalize.")) for name in node.input)
    ]
