"""Eight bits by torchao's PT2E flow: a device's quantiser says where integers are, images say how they are scaled."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import GraphModule
from torch.fx.node import map_aggregate

from unskip.export.formats.base import CALIBRATION_BATCH, Conversion, memory_format


def calibrated(conversion: Conversion, quantizer: Any, *, channels_last: bool = False) -> GraphModule:
    """The network with its 8-bit steps written out, for any batch: it computes in float32 what its integers will.

    That is the one that was trained so, if it was, or else ``conversion.calibration`` gives the ranges.
    """
    if conversion.trained is not None:
        return conversion.trained
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    assert conversion.calibration is not None
    # Guards are functions that ExecuTorch's passes do not take.
    captured = conversion.captured(free_batch=True, channels_last=channels_last)
    prepared = with_batch_size(prepare_pt2e(captured.module(check_guards=False), quantizer))
    with torch.inference_mode():
        for images in conversion.calibration.split(CALIBRATION_BATCH):
            prepared(images.contiguous(memory_format=memory_format(channels_last)))
    return convert_pt2e(prepared)


def of_batch(
    quantized: GraphModule, conversion: Conversion, *, channels_last: bool = False
) -> torch.export.ExportedProgram:
    """The program of a quantised network for the batch that the file is to take."""
    example = torch.zeros(conversion.batch_size or 1, *conversion.input_shape)
    return torch.export.export(quantized, (example.contiguous(memory_format=memory_format(channels_last)),))


def with_batch_size(prepared: GraphModule) -> GraphModule:
    """The same, with the batch size read from the images where a quantiser's passes wrote the symbol for it.

    Arm's do so for a mean over height and width; no code can be made of a symbol.
    """
    graph = prepared.graph
    images = next(node for node in graph.nodes if node.op == "placeholder")
    with graph.inserting_after(images):
        size = graph.call_function(torch.ops.aten.sym_size.int, (images, 0))
    for node in graph.nodes:
        node.args = map_aggregate(node.args, lambda each: size if isinstance(each, torch.SymInt) else each)
    if size.users:
        prepared.recompile()
    else:
        graph.erase_node(size)
    return prepared
