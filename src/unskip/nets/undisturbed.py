"""Trying things out so that everyone goes on afterwards as if nothing had happened."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn


@contextmanager
def modes_kept(net: nn.Module) -> Iterator[None]:
    """Every module of a network is in its own mode again afterwards, whoever sets it."""
    modes = [(module, module.training) for module in net.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def randomness_kept(devices: Iterable[int] | None = ()) -> Iterator[None]:
    """Everyone goes on afterwards as if nothing had been drawn, on the CPU and these GPUs; None for all of them."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


def random_states() -> tuple[Any, ...]:
    """The states of the generators that a forward may draw from, as values that can be compared."""
    _, keys, *rest = np.random.get_state()
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), np.asarray(keys).tobytes(), rest
