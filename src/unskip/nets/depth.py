"""Sub-nets of the first blocks of every stage: what `StagedNet.at_depth` needs, and BatchNorm for several depths."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from unskip.errors import UnskipError, first_line
from unskip.nets.cheap_shapes import CheapShapes, without_values
from unskip.nets.layers import place_of, sequence


def block_names(stage: nn.Module) -> list[str]:
    """The names of a stage's blocks, in order; what is in it besides has other names."""
    return [name for name, _ in stage.named_children() if name.startswith("block")]


def first_blocks(name: str, stage: nn.Module, count: int) -> nn.Module:
    """A stage without the blocks beyond ``count``, all modules shared; the stage itself when nothing goes.

    Raises `UnskipError` when it has fewer blocks, or when one that goes changes its input's shape.
    """
    children = dict(stage.named_children())
    blocks = block_names(stage)
    if not 0 <= count <= len(blocks):
        raise UnskipError(f"{name} has {len(blocks)} blocks, {count} cannot be kept")
    for child in blocks[count:]:
        change = _shape_change(children[child])
        if change:
            raise UnskipError(f"{name}.{child} cannot be left out: {change}")
    if count == len(blocks):
        return stage
    kept = {child: module for child, module in children.items() if child not in blocks[count:]}
    return sequence(kept, stage.training)


def _shape_change(block: nn.Module) -> str:
    """What a block does to its input's shape, in words; nothing for a block that keeps it."""
    channels = next(
        (
            module.in_channels if isinstance(module, nn.Conv2d) else module.num_features
            for module in block.modules()
            if isinstance(module, nn.Conv2d | nn.BatchNorm2d)
        ),
        8,
    )
    before = torch.empty(2, channels, 32, 32, device="meta")
    tensors = {
        name: without_values(tensor, torch.float if tensor.is_floating_point() else tensor.dtype)
        for name, tensor in [*block.named_parameters(), *block.named_buffers()]
    }
    try:
        with torch.no_grad(), CheapShapes():
            after = torch.func.functional_call(block, tensors, (before,))
    except (RuntimeError, TypeError, ValueError) as error:
        return f"it does not run alone ({first_line(error)})"
    return "" if after.shape == before.shape else f"it {shape_change(before, after)}"


def shape_change(before: Tensor, after: Tensor) -> str:
    """What makes one map of another does to its shape, in words."""
    if after.shape[1] != before.shape[1]:
        return f"turns {before.shape[1]} channels into {after.shape[1]}"
    return "changes the resolution"


def norms_at_depth(module: nn.Module, blocks: Sequence[int]) -> nn.Module:
    """The module with the statistics of a depth in every `DepthBatchNorm2d`; without any, the module itself.

    Containers on the way to one are new, all else is shared. Raises `UnskipError` for a depth without statistics.
    """
    if isinstance(module, DepthBatchNorm2d):
        if _key(blocks) not in module.depths:
            raise UnskipError(
                f"no BatchNorm statistics for the depth {_key(blocks)}; there are {', '.join(module.depths)}"
            )
        return module.at(blocks)
    children = {name: norms_at_depth(child, blocks) for name, child in module.named_children()}
    if all(children[name] is child for name, child in module.named_children()):
        return module
    twin = copy.copy(module)  # the same parameters and buffers
    twin._modules = {**module._modules, **children}
    return twin


def _key(blocks: Sequence[int]) -> str:
    """``2-2-2`` for two blocks in each of three stages."""
    return "-".join(map(str, blocks))


class DepthBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm with one set of statistics for the whole network and one for each of its depths.

    Weight and bias are the same at every depth. As a module it is the whole network's BatchNorm; :meth:`at` gives that
    of a depth.
    """

    def __init__(self, norm: nn.BatchNorm2d, depths: Iterable[Sequence[int]]) -> None:
        assert norm.running_mean is not None
        settings, place = (norm.num_features, norm.eps, norm.momentum), place_of(norm.running_mean)
        super().__init__(*settings, **place)
        self.load_state_dict(norm.state_dict())
        own = {_key(blocks): nn.BatchNorm2d(*settings, affine=False, **place) for blocks in depths}
        self.depths = nn.ModuleDict(own)
        self.train(norm.training)

    def at(self, blocks: Sequence[int]) -> BatchNormAtDepth:
        """The BatchNorm of a depth; it shares weight, bias and that depth's statistics."""
        statistics = self.depths[_key(blocks)]
        assert isinstance(statistics, nn.BatchNorm2d)
        return BatchNormAtDepth(self.weight, self.bias, statistics).train(self.training)


class BatchNormAtDepth(nn.Module):
    """A BatchNorm made of a weight and a bias that others share and of statistics that are its own."""

    def __init__(self, weight: nn.Parameter, bias: nn.Parameter, statistics: nn.BatchNorm2d) -> None:
        super().__init__()
        self.weight = weight
        self.bias = bias
        self.statistics = statistics

    def alone(self) -> nn.BatchNorm2d:
        """An ordinary BatchNorm with copies of weight, bias and statistics."""
        own = nn.BatchNorm2d(
            self.weight.numel(), self.statistics.eps, self.statistics.momentum, **place_of(self.weight)
        )
        own.load_state_dict({**self.statistics.state_dict(), "weight": self.weight, "bias": self.bias})
        return own.train(self.training)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) to the same shape."""
        norm = copy.copy(self.statistics)  # with the same buffers; its class may have been made a synchronised one
        norm._parameters = {"weight": self.weight, "bias": self.bias}
        norm.training = self.training
        normalized: Tensor = type(norm).forward(norm, x)
        return normalized
