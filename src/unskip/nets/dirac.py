"""Convolutions that start near the identity: the Dirac parameterisation of Zagoruyko and Komodakis (2017).

JointRD trains its plain ImageNet student with them, in the form W = alpha * delta + beta * W.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from unskip.nets.layers import conv_settings


class DiracConv2d(nn.Conv2d):
    """A convolution whose kernel is ``alpha * delta + beta * weight``.

    delta is the kernel that hands input channel i on as output channel i, group by group, as far as there are both;
    alpha (1 at the start) and beta (0.1) are trainable, one number for each output channel, and are not decayed.
    """

    alpha: nn.Parameter
    beta: nn.Parameter
    delta: Tensor

    @classmethod
    def of(cls, conv: nn.Conv2d) -> DiracConv2d:
        """A Dirac convolution of the same shape, whose ``weight`` is a copy of an ordinary convolution's."""
        made = cls(**conv_settings(conv))
        made.load_state_dict(conv.state_dict(), strict=False)
        return made.train(conv.training)

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        per_channel = self.weight.new_ones(self.out_channels, 1, 1, 1)
        self.alpha = nn.Parameter(per_channel)
        self.beta = nn.Parameter(0.1 * per_channel)
        self.register_buffer("delta", nn.init.dirac_(torch.empty_like(self.weight), self.groups), persistent=False)

    @property
    def kernel(self) -> Tensor:
        """The kernel that the convolution applies, of ``weight``'s shape."""
        return self.alpha * self.delta + self.beta * self.weight

    def folded(self) -> nn.Conv2d:
        """The ordinary convolution that computes exactly the same."""
        conv = nn.Conv2d(**conv_settings(self))
        conv.weight = nn.Parameter(self.kernel.detach().clone())
        conv.bias = None if self.bias is None else nn.Parameter(self.bias.detach().clone())
        return conv.train(self.training)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_channels, height, width) to (batch, out_channels, ..), as `torch.nn.Conv2d`."""
        return self._conv_forward(x, self.kernel, self.bias)
