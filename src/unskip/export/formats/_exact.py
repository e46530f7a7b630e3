"""What a quantised network's integers are when nothing else is rounded, as processors without floats compute them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

_ENDS_IMAGES = ("dequantize", "sym_size")
_TIE = 2.0**-30  # what a multiplier of 31 bits may add to, or leave out of, a number that lies between two integers


def exact(quantized: GraphModule) -> GraphModule:
    """A network of torchao's PT2E flow, the numbers between its integers in float64, and halves rounded up.

    The flow's own network computes them in float32 and rounds halves to even. In a sum of products of integers that
    crosses the middle between two of them once in about 100,000 numbers, and a single step in an early map changes a
    tenth of the late ones. Biases are integers in units of the product of two scales, which the flow has rounded to
    float32 too; here it is their product. What comes before the first integers, and the step from the last ones to the
    answers, stay as the file computes them, in float32.
    """
    graph = torch.fx.Graph()
    graph.output(graph.graph_copy(quantized.graph, {}))
    graph.set_codegen(quantized.graph._codegen)
    result = GraphModule(quantized, graph)
    answers = graph.output_node().all_input_nodes
    before = _before_integers(result)
    for node in graph.nodes:
        name = _name(node)
        if name in _EXACT and node not in before and not (node in answers and name == "dequantize_per_tensor"):
            node.target = _EXACT[name]
    for node in list(graph.nodes):
        _unround_bias(result, node)
    result.recompile()
    return result


def _quantize(numbers: Tensor, scale: float, zero: int, low: int, high: int, dtype: torch.dtype) -> Tensor:
    return (numbers.double() / scale + (0.5 + _TIE)).floor().add(zero).clamp(low, high).to(dtype)


def _dequantize(integers: Tensor, scale: float, zero: int, low: int, high: int, dtype: torch.dtype) -> Tensor:
    return (integers.double() - zero) * scale


def _dequantize_channels(
    integers: Tensor, scale: Tensor, zero: Tensor, axis: int, low: int, high: int, dtype: torch.dtype
) -> Tensor:
    shape = [-1 if place == axis else 1 for place in range(integers.dim())]
    return (integers.double() - zero.view(shape)) * scale.double().view(shape)


_EXACT: Mapping[str, Callable[..., Tensor]] = {
    "quantize_per_tensor": _quantize,
    "dequantize_per_tensor": _dequantize,
    "dequantize_per_channel": _dequantize_channels,
}


def _name(node: Node) -> str:
    """Of what a node calls, without its overload."""
    return getattr(node.target, "__name__", str(node.target)).partition(".")[0]


def _before_integers(module: GraphModule) -> set[Node]:
    """What depends on an image that has not been brought to integers, the step to them included."""
    result: set[Node] = set()
    for node in module.graph.nodes:
        if node.op == "placeholder" or (
            not _name(node).startswith(_ENDS_IMAGES) and any(each in result for each in node.all_input_nodes)
        ):
            result.add(node)
    return result


def _unround_bias(module: GraphModule, node: Node) -> None:
    """Scale the bias of a layer by the product of its map's and its weights' scales."""
    scaled = [each for each in node.args if isinstance(each, Node) and each.target in _EXACT.values()]
    if len(scaled) != 3 or scaled[-1].args[-1] is not torch.int32:
        return
    maps, weight, bias = scaled
    name = f"_exact_{bias.name}"
    module.register_buffer(name, _scale(module, maps) * _scale(module, weight))
    with module.graph.inserting_before(bias):
        bias.update_arg(1, module.graph.get_attr(name))


def _scale(module: GraphModule, node: Node) -> Tensor:
    scale: Any = node.args[1]
    return torch.as_tensor(
        getattr(module, str(scale.target)) if isinstance(scale, Node) else scale, dtype=torch.float64
    )
