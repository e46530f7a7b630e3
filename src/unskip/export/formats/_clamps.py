"""Convolutions whose outputs are clamped, as by ReLU6, are one step in 8 bits: only what is left has a range.

XNNPACK computes them so, but its quantiser knows it of ReLU alone: without this the outputs in front of a clamp have a
range of their own, which takes most of the 255 steps for values that are clamped away.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

_CONVOLUTIONS = (torch.ops.aten.conv2d.default, torch.ops.aten.convolution.default)
_CLAMPS = (torch.ops.aten.hardtanh.default, torch.ops.aten.hardtanh_.default)


def fuse_clamps(quantizer: Any, settings: Any) -> Any:
    """Let a quantiser annotate clamped convolutions in this way, by its own settings, before all else; returns it."""
    annotate = quantizer.annotate

    def annotated(model: fx.GraphModule) -> fx.GraphModule:
        for node in model.graph.nodes:
            if node.target in _CLAMPS:
                _annotate(node, settings)
        return annotate(model)

    quantizer.annotate = annotated
    return quantizer


def _annotate(clamp: fx.Node, settings: Any) -> None:
    from torchao.quantization.pt2e.quantizer import (
        QuantizationAnnotation,
        get_bias_qspec,
        get_input_act_qspec,
        get_output_act_qspec,
        get_weight_qspec,
    )
    from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

    conv = clamp.args[0]
    if not isinstance(conv, fx.Node) or conv.target not in _CONVOLUTIONS or len(conv.users) > 1:
        return
    read, weight, *bias = (node for node in conv.args[:3] if isinstance(node, fx.Node))
    specs = {read: get_input_act_qspec(settings), weight: get_weight_qspec(settings)}
    specs |= {node: get_bias_qspec(settings) for node in bias}
    conv.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(input_qspec_map=specs, _annotated=True)
    clamp.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(output_qspec=get_output_act_qspec(settings), _annotated=True)
    for node in (weight, *bias):
        node.meta.setdefault(Q_ANNOTATION_KEY, QuantizationAnnotation())._annotated = True
