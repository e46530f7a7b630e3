"""The kernel and the bias with which a convolution comes closest to given maps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LeastSquares:
    """The normal equations of a convolution's kernel and bias, group by group, summed over batches.

    Without ``intercept`` there is no bias to solve for.
    """

    def __init__(self, conv: nn.Conv2d, *, intercept: bool) -> None:
        self.conv, self.intercept = conv, intercept
        size = conv.weight[0].numel()
        exact = torch.float32 if conv.weight.device.type == "mps" else torch.float64
        self.gram = torch.zeros(conv.groups, size, size, dtype=exact, device=conv.weight.device)
        self.right = self.gram.new_zeros(conv.groups, size, conv.out_channels // conv.groups)
        self.rows = self.gram.new_zeros(conv.groups, size, 1)  # sums of what is read ..
        self.goals = self.gram.new_zeros(conv.groups, 1, self.right.shape[2])  # .. and of what should be given
        self.count = 0
        self.shift: Tensor | None = None  # about the mean, so that the sums of squares lose no digits

    def add(self, maps: Tensor, targets: Tensor) -> None:
        """Take up what the convolution reads, (batch, in, height, width), and should give, (batch, out, ..)."""
        conv = self.conv
        assert not isinstance(conv.padding, str)
        for x, y in zip(maps.split(16), targets.split(16), strict=True):
            patches = F.unfold(x, conv.kernel_size, conv.dilation, conv.padding, conv.stride)
            rows = patches.transpose(1, 2).flatten(0, 1).unflatten(1, (conv.groups, -1)).transpose(0, 1)
            goals = y.flatten(2).transpose(1, 2).flatten(0, 1).unflatten(1, (conv.groups, -1)).transpose(0, 1)
            if self.intercept:
                self.shift = rows.mean(1, keepdim=True) if self.shift is None else self.shift
                rows = rows - self.shift
            self.gram += rows.transpose(1, 2) @ rows
            self.right += rows.transpose(1, 2) @ goals
            self.rows += rows.sum(1).unsqueeze(2)
            self.goals += goals.sum(1, keepdim=True)
            self.count += rows.shape[1]

    def solved(self, ridge: float) -> tuple[Tensor, Tensor]:
        """Kernel and bias of least squares with a penalty, ``ridge`` times the mean variance of what is read."""
        gram, right = self.gram, self.right
        if self.intercept:
            gram = gram - self.rows @ self.rows.transpose(1, 2) / self.count
            right = right - self.rows @ self.goals / self.count
        mean = gram.diagonal(dim1=1, dim2=2).mean(1)[:, None, None].clamp_min(torch.finfo(gram.dtype).tiny ** 0.5)
        factor = torch.linalg.cholesky(gram + ridge * mean * torch.eye(gram.shape[1]).to(gram))
        solution = torch.cholesky_solve(right, factor)
        kernel = solution.transpose(1, 2).flatten(0, 1).to(self.conv.weight.dtype).reshape(self.conv.weight.shape)
        if self.shift is None:
            return kernel, torch.zeros_like(kernel[:, 0, 0, 0])
        means = self.rows.transpose(1, 2) / self.count + self.shift
        return kernel, (self.goals / self.count - means @ solution).flatten().to(kernel.dtype)
