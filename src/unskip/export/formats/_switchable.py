"""One ONNX file for a network of several depths: the weights that the depths share are stored once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def switched(models: Sequence[onnx.ModelProto]) -> onnx.ModelProto:
    """One model that computes what the ``depth``-th of ``models`` computes, ``depth`` being a second input (int64).

    All of them take ``images`` and give ``logits``. Their weights lie in the outer graph, those with equal contents
    only once; a chain of ``If`` nodes chooses which operations run.
    """
    weights: dict[tuple[object, ...], TensorProto] = {}
    bodies = [_body(model.graph, f"depth{place}.", weights) for place, model in enumerate(models)]
    nodes = list(_choice(bodies, 0))
    first = models[0].graph
    depth = helper.make_tensor_value_info("depth", TensorProto.INT64, [])
    numbers = [numpy_helper.from_array(np.array(place, np.int64), f"depth{place}") for place in range(len(models) - 1)]
    graph = helper.make_graph(
        nodes, first.name, [*first.input, depth], list(first.output), initializer=[*numbers, *weights.values()]
    )
    return helper.make_model(graph, opset_imports=models[0].opset_import, ir_version=models[0].ir_version)


def _choice(bodies: Sequence[onnx.GraphProto], place: int) -> Iterator[onnx.NodeProto]:
    """Nodes that compare ``depth`` with a place and run its body, or else choose among those that follow."""
    last = place == len(bodies) - 2
    otherwise = bodies[-1] if last else _graph_of(_choice(bodies, place + 1), bodies[place + 1])
    output = bodies[place].output[0].name
    yield helper.make_node("Equal", ["depth", f"depth{place}"], [f"depth_is_{place}"], name=f"Equal{place}")
    yield helper.make_node(
        "If",
        [f"depth_is_{place}"],
        ["logits" if place == 0 else f"chosen.{output}"],
        name=f"If{place}",
        then_branch=bodies[place],
        else_branch=otherwise,
    )


def _graph_of(nodes: Iterator[onnx.NodeProto], like: onnx.GraphProto) -> onnx.GraphProto:
    """A branch made of nodes, with the output type of another branch."""
    in_branch = list(nodes)
    output = onnx.ValueInfoProto()
    output.CopyFrom(like.output[0])
    output.name = in_branch[-1].output[0]
    return helper.make_graph(in_branch, f"otherwise.{like.name}", [], [output])


def _body(graph: onnx.GraphProto, prefix: str, weights: dict[tuple[object, ...], TensorProto]) -> onnx.GraphProto:
    """A graph as a branch: all its names prefixed, its weights moved to ``weights``."""
    names = {entry.name: entry.name for entry in graph.input}
    for tensor in graph.initializer:
        if _content(tensor) not in weights:
            moved = TensorProto()
            moved.CopyFrom(tensor)
            moved.name = prefix + tensor.name
            weights[_content(tensor)] = moved
        names[tensor.name] = weights[_content(tensor)].name
    nodes = []
    for node in graph.node:
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        copied.name = prefix + node.name
        copied.input[:] = [names.get(name, prefix + name) if name else "" for name in node.input]
        copied.output[:] = [prefix + name if name else "" for name in node.output]
        nodes.append(copied)
    output = onnx.ValueInfoProto()
    output.CopyFrom(graph.output[0])
    output.name = prefix + output.name
    return helper.make_graph(nodes, prefix.rstrip("."), [], [output])


def _content(tensor: TensorProto) -> tuple[object, ...]:
    values = numpy_helper.to_array(tensor)
    return tensor.data_type, tuple(tensor.dims), values.tobytes()
