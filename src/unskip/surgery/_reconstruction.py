"""Block reconstruction: a few blocks trained to answer as others do, on maps that are kept."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

_MAX_LR = 0.003
_WARM_UP = 0.1  # of the steps


@torch.no_grad()
def reconstruct(
    blocks: Sequence[nn.Module],
    maps_in: Sequence[Tensor],
    goals: Sequence[Tensor],
    shown: Sequence[int],
    held_out: Sequence[int],
    passes: float,
) -> float:
    """Train blocks, one behind the other, to make ``goals`` of ``maps_in``, in place.

    Both are batches (batch, channels, height, width), of which those of the numbers ``shown`` are trained on,
    ``passes`` times, by Adam under one cycle of rates, in an order that is the same each time. The loss is the squared
    error over the variance. Returns its value on the batches ``held_out``; where training did not make that better, the
    blocks are as they were.
    """
    chain = nn.Sequential(*blocks)
    tests = [goals[batch] for batch in held_out]

    def error() -> float:
        return unexplained([chain(maps_in[batch].clone()) for batch in held_out], tests)

    start, before = copy.deepcopy(chain.state_dict()), error()
    shown = [batch for batch in shown if goals[batch][:, 0].numel() > 1]  # BatchNorm has no statistics of one value
    if not shown:
        return before
    norms = [module for module in chain.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    steps = max(1, round(passes * len(shown)))
    variance = _variance([goals[batch] for batch in shown])
    trainable = {parameter: parameter.requires_grad for parameter in chain.parameters()}
    try:
        chain.requires_grad_()
        optimizer = torch.optim.Adam(chain.parameters(), lr=_MAX_LR)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share_of_max_lr(step / steps))
        for norm in norms:
            norm.train()
        with torch.enable_grad():
            for batch in _in_turn(shown, steps):
                optimizer.zero_grad()
                loss = (chain(maps_in[batch].clone()) - goals[batch]).square().mean((0, 2, 3)).sum() / variance
                loss.backward()
                optimizer.step()
                schedule.step()
    finally:
        for norm in norms:
            norm.eval()
        for parameter, was in trainable.items():
            parameter.requires_grad_(was)
    after = error()
    if after < before:
        return after
    chain.load_state_dict(start)
    return before


def _share_of_max_lr(progress: float) -> float:
    """Up from a twentieth in a line, then down to 0 by half a cosine."""
    if progress < _WARM_UP:
        return 0.05 + 0.95 * progress / _WARM_UP
    return 0.5 + 0.5 * math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP))


def unexplained(answers: Sequence[Tensor], goals: Sequence[Tensor]) -> float:
    """The squared error over the variance, both summed over channels."""
    squares = sum((answer - goal).square().sum((0, 2, 3)) for answer, goal in zip(answers, goals, strict=True))
    assert isinstance(squares, Tensor)
    return float(squares.sum() / _count(goals) / _variance(goals))


def _variance(maps: Sequence[Tensor]) -> Tensor:
    """The variance of each channel, summed, over all batches; never 0."""
    mean = torch.stack([x.sum((0, 2, 3)) for x in maps]).sum(0) / _count(maps)
    squares = torch.stack([(x - mean[:, None, None]).square().sum((0, 2, 3)) for x in maps]).sum(0)
    return (squares / _count(maps)).sum().clamp_min(torch.finfo(mean.dtype).tiny)


def _count(maps: Sequence[Tensor]) -> int:
    return sum(x[:, 0].numel() for x in maps)


def _in_turn(batches: Sequence[int], count: int) -> Iterator[int]:
    """``count`` of the batches: all of them in one random order, then in another, and so on."""
    generator = torch.Generator().manual_seed(0)
    for step in range(count):
        if step % len(batches) == 0:
            order = torch.randperm(len(batches), generator=generator).tolist()
        yield batches[order[step % len(batches)]]
