"""What values can enter the blocks of a network, as far as its layers guarantee it for any image."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from unskip.nets.staged_net import Residual, StagedNet


class Range(NamedTuple):
    """Values from ``low`` to ``high``, both included."""

    low: float = -math.inf
    high: float = math.inf

    def within(self, other: Range) -> bool:
        """Whether none of the values is outside the other range."""
        return other.low <= self.low and self.high <= other.high


ANY = Range()
_NOT_NEGATIVE = Range(low=0.0)
_SELECTS = (nn.Identity, nn.MaxPool2d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool2d, _DropoutNd)


def unchanged_by(activation: nn.Module) -> Range | None:
    """The values that an activation hands on as they are; None where there are none to rely on (SiLU, GELU)."""
    if isinstance(activation, nn.Identity):
        return ANY
    if isinstance(activation, nn.Hardtanh):  # ReLU6 is one
        return Range(activation.min_val, activation.max_val)
    return _NOT_NEGATIVE if isinstance(activation, nn.ReLU | nn.LeakyReLU | nn.PReLU) else None


def ranges_into_blocks(net: StagedNet) -> dict[str, Range]:
    """The values that can enter each `Residual` of a network in eval mode, by place.

    They are known behind an activation that bounds them and what only selects or averages them (pools). Behind a
    convolution, a BatchNorm or the sum of a block that ends without activation they can be any.
    """
    found: dict[str, Range] = {}
    _follow(net, "", ANY, found)
    return found


def _follow(module: nn.Module, place: str, values: Range, ranges: dict[str, Range]) -> Range:
    """What can leave a module that ``values`` enter; notes in ``ranges`` what enters the blocks on the way."""
    if isinstance(module, Residual):
        ranges[place] = values
        _follow(module.body, f"{place}.body", values, ranges)
        return _follow(module.activation, f"{place}.activation", ANY, ranges)
    if isinstance(module, nn.Sequential):
        for name, child in module._modules.items():
            assert child is not None
            values = _follow(child, f"{place}.{name}".removeprefix("."), values, ranges)
        return values
    if isinstance(module, nn.ReLU | nn.Hardtanh):
        bounds = unchanged_by(module)
        assert bounds is not None
        return Range(_clamped(values.low, bounds), _clamped(values.high, bounds))
    if isinstance(module, nn.LeakyReLU | nn.PReLU):
        return values if values.within(_NOT_NEGATIVE) else ANY
    if isinstance(module, nn.AvgPool2d) and module.divisor_override is None:
        return Range(min(values.low, 0.0), max(values.high, 0.0))  # it averages the zeros around the map, too
    return values if isinstance(module, _SELECTS) else ANY


def _clamped(value: float, bounds: Range) -> float:
    return min(max(value, bounds.low), bounds.high)
