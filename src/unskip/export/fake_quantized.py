"""A network that can be trained as its target computes it, in 8 bits: fake quantisation by torchao's PT2E flow.

A format's quantiser says where there are integers; the same code serves every target that has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn

from unskip.errors import UnskipError
from unskip.export.formats._pt2e import with_batch_size
from unskip.export.formats.base import CALIBRATION_BATCH, Conversion
from unskip.nets import StagedNet

_SIZE = torch.ops.aten.sym_size.int


@dataclass(frozen=True)
class FakeQuantized:
    """A network that computes in float32 what its target computes in 8 bits, and that can be trained.

    ``student`` has the parts of the network that it comes from, BatchNorm folded; it takes images as the file will. Its
    weights and its ranges are those of :meth:`finished`. In train mode the ranges follow the maps, in eval mode they
    stay.
    """

    student: StagedNet
    _whole: fx.GraphModule

    @classmethod
    def of(cls, conversion: Conversion, quantizer: Any, net: StagedNet) -> FakeQuantized:
        """The network of a conversion, whose parts are those of ``net``, its ranges those of the calibration images.

        ``quantizer`` is one for training. Raises `UnskipError` for a network whose parts hand on more than one map.
        """
        from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e

        whole = with_batch_size(prepare_qat_pt2e(_captured(conversion), quantizer))
        student = StagedNet(_parts(whole, net.part_names)).train()
        assert conversion.calibration is not None
        with torch.no_grad():  # not in inference mode, whose tensors no training may touch
            for images in conversion.calibration.split(CALIBRATION_BATCH):
                whole(images)
        return cls(student.eval(), whole)

    def finished(self) -> fx.GraphModule:
        """The network with its 8-bit steps written out, for any batch; the student is worth nothing afterwards."""
        from torchao.quantization.pt2e import FusedMovingAvgObsFakeQuantize
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e

        whole = self._whole.to("cpu")
        for module in whole.modules():
            if isinstance(module, FusedMovingAvgObsFakeQuantize):
                # What it calculates is up to 0.4 % off the scales that its kernel trained with (pytorch/ao#4824).
                module.calculate_qparams = partial(_trained_scales, module)
        return convert_pt2e(whole)


def _trained_scales(module: nn.Module) -> tuple[Tensor, Tensor]:
    return module.scale, module.zero_point  # type: ignore[return-value]


def _captured(conversion: Conversion) -> fx.GraphModule:
    # Guards would be a module that the quantisers' passes stumble over.
    module = conversion.captured(free_batch=True).module(check_guards=False)
    assert isinstance(module, fx.GraphModule)
    for node in module.graph.nodes:
        in_place = getattr(node.target, "__name__", "").partition(".")[0]
        if in_place.endswith("_") and hasattr(torch.ops.aten, in_place[:-1]):
            node.target = getattr(torch.ops.aten, in_place[:-1]).default  # a loss may read what it would overwrite
    module.recompile()
    return module


class _FakeQuantizedPart(nn.Module):
    """A part of the graph, with the train and eval modes of a layer."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__()
        self.graph = graph

    def train(self, mode: bool = True) -> _FakeQuantizedPart:
        super().train(mode)
        for module in self.graph.modules():
            if hasattr(module, "observer_enabled"):
                module.get_buffer("observer_enabled").fill_(int(mode))
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.graph(x)


def _parts(whole: fx.GraphModule, names: Sequence[str]) -> dict[str, nn.Module]:
    """The graph cut where the parts of the network end, by their names; its layers are shared."""
    places = _places(whole.graph, names)
    parts: dict[str, nn.Module] = {}
    (start,) = (node for node in whole.graph.nodes if node.op == "placeholder")
    for place, name in enumerate(names):
        (answers,) = whole.graph.output_node().all_input_nodes
        last = place == len(names) - 1
        handed_on = {answers} if last else _read_behind(places, place)
        if len(handed_on) != 1:
            raise UnskipError(f"{name} hands on {len(handed_on)} maps in 8 bits, and one is expected")
        (result,) = handed_on
        parts[name] = _FakeQuantizedPart(_part(whole, start, result))
        start = result
    return parts


def _places(graph: fx.Graph, names: Sequence[str]) -> dict[fx.Node, int]:
    """The place of the part that every node belongs to; nodes that depend on no image have none."""
    places: dict[fx.Node, int] = {}
    for node in graph.nodes:
        before = [places[each] for each in node.all_input_nodes if each in places]
        if node.op == "placeholder":
            places[node] = 0
        elif before and node.op != "output":
            modules = ".".join(path for path, _ in (node.meta.get("nn_module_stack") or {}).values()).split(".")
            own = next((names.index(module) for module in modules if module in names), 0)
            places[node] = max(own, *before)
    return places


def _read_behind(places: dict[fx.Node, int], place: int) -> set[fx.Node]:
    """What a part and those in front of it give to those behind."""
    return {
        node
        for node, own in places.items()
        if own <= place and node.target is not _SIZE and any(places.get(user, place) > place for user in node.users)
    }


def _part(whole: fx.GraphModule, start: fx.Node, result: fx.Node) -> fx.GraphModule:
    """What leads from one node to another, as a module of its own."""
    graph = fx.Graph()
    copies = {start: graph.placeholder("x")}
    needed, stack = set(), [result]
    while stack:
        node = stack.pop()
        if node.target is _SIZE:
            copies[node] = graph.call_function(_SIZE, (copies[start], *node.args[1:]))  # every map has the batch's size
        elif node not in copies and node not in needed:
            needed.add(node)
            stack.extend(node.all_input_nodes)
    for node in whole.graph.nodes:
        if node in needed:
            copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(copies[result])
    return fx.GraphModule(whole, graph)
