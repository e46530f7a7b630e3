"""An exponential moving average of a network's weights, as timm's and others' trainings validate and ship it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase


class AverageWeights:
    """The moving average of a network's parameters and of its normalisations' running statistics.

    After step t of a phase, from 0, ``average = d average + (1 - d) now`` with ``d = min(decay, (1 + t) / (10 + t))``:
    the mean goes over about a tenth of the steps at first, so that a short training is not averaged with its beginning.
    What is no weight stays what it is in the network: counts, a shortcut's factor that fades, a Dirac kernel's delta.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        self._now = {name: tensor.detach() for name, tensor in _averaged(net) if tensor.is_floating_point()}
        self._average = {name: tensor.clone() for name, tensor in self._now.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the network as it is after a ``step`` of the phase."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self._average.values()), list(self._now.values()), 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The network has the averages meanwhile, and afterwards, bit by bit, what it had."""
        trained = [tensor.clone() for tensor in self._now.values()]
        self.take()
        try:
            yield
        finally:
            torch._foreach_copy_(list(self._now.values()), trained)

    def take(self) -> None:
        """Give the network the averages for good."""
        torch._foreach_copy_(list(self._now.values()), list(self._average.values()))

    def state_dict(self) -> dict[str, Tensor]:
        """The averages by the names of the network's tensors."""
        return self._average

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from saved averages."""
        for name, tensor in self._average.items():
            tensor.copy_(state[name])


def _averaged(net: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Each once, also where modules share it."""
    yield from net.named_parameters()
    for place, module in net.named_modules():
        if isinstance(module, _NormBase):
            yield from module.named_buffers(prefix=place, recurse=False)
