"""Every count of parameters, operations and layers that the papers print, and the networks that have them.

docs/reference/counts.md is written from it. The figures are in counts.csv, a line each, those of one network together.
``exact`` is the count that the printed figure rounds, found independently of this package; ``note`` says why a figure
of a paper is not that of its network.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import nn

from unskip.dataflow import count_macs, num_parameters
from unskip.nets import NetSpec, StagedNet, make_net
from unskip.surgery import edited, residual_blocks

_UNITS = {"M": Decimal(10**6), "G": Decimal(10**9), "layers": Decimal(1)}


@dataclass(frozen=True)
class PrintedCount:
    """A figure of a paper's table.

    ``variant`` is a grouping (g2, G16) or the blocks of the stages (3-4-6-3). ``residual`` says whether the network has
    its shortcuts, None where it never had any. ``metric`` is ``params``, ``flops`` or ``depth``; ``printed`` is in
    ``unit``: millions (M), thousand millions (G) or layers.
    """

    paper: str
    table: str
    network: str
    variant: str
    residual: bool | None
    metric: str
    unit: str
    printed: str
    exact: int
    note: str


@dataclass(frozen=True)
class CheckedCount:
    """A figure of a paper beside the count of the network that it is about."""

    cell: PrintedCount
    computed: int

    @property
    def matches(self) -> bool:
        """Whether the count, rounded half up to the printed digits in the printed unit, is the printed figure."""
        printed = Decimal(self.cell.printed)
        return (self.computed / _UNITS[self.cell.unit]).quantize(printed, ROUND_HALF_UP) == printed

    @property
    def is_failure(self) -> bool:
        """Whether the figure differs and no note says why."""
        return not self.matches and not self.cell.note


@dataclass(frozen=True)
class CountedNet:
    """The network behind a figure, the (channels, height, width) of its image, and the convention that counts it."""

    spec: NetSpec
    input_shape: tuple[int, int, int]
    convention: str


def printed_counts() -> list[PrintedCount]:
    """The figures of all papers."""
    with Path(__file__).with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        return [_cell(row) for row in csv.DictReader(file)]


def _cell(row: dict[str, str]) -> PrintedCount:
    residual = {"yes": True, "no": False, "": None}[row.pop("residual")]
    return PrintedCount(residual=residual, exact=int(row.pop("exact")), **row)


def counted_net(cell: PrintedCount) -> CountedNet:
    """The network that a figure is about."""
    return _NETS[cell.paper](cell)


def _demystification(cell: PrintedCount) -> CountedNet:
    names = {"ResNet-18": "resnet18-cifar", "MobileNet-V2": "mobilenetv2-cifar"}
    # gN: N groups; GN: N channels in a group.
    grouping = {"g": "groups", "G": "channels_per_group"}[cell.variant[0]]
    edits: tuple[tuple[str, dict[str, Any]], ...] = (("with_grouped_convs", {grouping: int(cell.variant[1:])}),)
    if not cell.residual:
        edits += (("without_shortcuts", {}),)
    spec = NetSpec(names.get(cell.network, cell.network.lower()), {"num_classes": 100}, edits)
    return CountedNet(spec, (3, 32, 32), "torchprofile")


def _stagewise_kd(cell: PrintedCount) -> CountedNet:
    spec = NetSpec(f"{cell.network.lower()}-stagewise", {"num_classes": 10})
    return CountedNet(spec, (3, 224, 224), "thop-2019")


def _ekd_ddnn(cell: PrintedCount) -> CountedNet:
    kind, _, depth = cell.network.lower().partition("-")
    if cell.table == "2":
        suffix = "" if depth in ("18", "34", "50") else "-bottleneck"
        return CountedNet(NetSpec(f"resnet{depth}{suffix}", {"num_classes": 1000}), (3, 224, 224), "macs")
    if kind == "resnet":  # what its blocks make of it, not what it is called
        depth = str(2 * sum(map(int, cell.variant.split("-"))) + 2)
    source = f"vgg{depth}-cifar" if kind == "vgg" else f"resnet{depth}"
    return CountedNet(NetSpec(source, {"num_classes": 100}), (3, 32, 32), "macs")


_NETS: dict[str, Callable[[PrintedCount], CountedNet]] = {
    "demystification": _demystification,
    "stagewise-kd": _stagewise_kd,
    "ekd-ddnn": _ekd_ddnn,
}


@cache
def check_counts() -> list[CheckedCount]:
    """Count the networks behind the figures; nothing is computed but shapes, so it takes seconds."""
    checked: list[CheckedCount] = []
    for counted, cells in groupby(printed_counts(), key=counted_net):
        net = edited(_on_meta(counted.spec.source, **counted.spec.options), counted.spec.edits, seed=0)
        checked += [CheckedCount(cell, _count(net, counted, cell.metric)) for cell in cells]
    return checked


@cache
def _on_meta(source: str, **options: Any) -> StagedNet:
    with torch.device("meta"):
        return make_net(source, options)


def num_layers(net: nn.Module) -> int:
    """The depth that papers name a network by: convolutions and linear layers, without those of shortcuts.

    Shortcuts are those of the net's `Residual` blocks, so a ResNet-50 has 50 layers with and without them. A grouped
    convolution and the 1x1 that mixes its groups are two.
    """
    in_shortcuts = {layer for block in residual_blocks(net).values() for layer in block.shortcut.modules()}
    return sum(isinstance(layer, nn.Conv2d | nn.Linear) and layer not in in_shortcuts for layer in net.modules())


def _count(net: StagedNet, counted: CountedNet, metric: str) -> int:
    if metric == "flops":
        return count_macs(net, counted.input_shape, counted.convention)
    return {"params": num_parameters, "depth": num_layers}[metric](net)
