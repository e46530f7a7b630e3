"""Terms of a loss whose gradient is computed along with them, so that nothing is kept for the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def with_gradient(terms_of: Callable[[Tensor], Sequence[Tensor]], x: Tensor, trained: Sequence[Tensor]) -> list[Tensor]:
    """Terms of a loss at ``x``, each a scalar, that lie behind a branch of a network.

    What the branch computes is let go before this returns: kept is the gradient of the terms' sum, for ``x`` and for
    ``trained``, the weights that the branch trains. That is all a loss needs which adds its terms up, as those of
    `Objective` do; the terms cannot be weighted afterwards.
    """
    if not torch.is_grad_enabled() or torch.compiler.is_compiling():  # a compiler orders the steps itself
        return list(terms_of(x))
    return list(_WithGradient.apply(terms_of, x, *trained))


class _WithGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, terms_of: Callable[[Tensor], Sequence[Tensor]], x: Tensor, *trained: Tensor) -> Any:
        with torch.enable_grad():
            leaf = x.detach().requires_grad_(x.requires_grad)
            terms = terms_of(leaf)
            wanted = [each for each in (leaf, *trained) if each.requires_grad]
            found = iter(torch.autograd.grad(torch.stack(list(terms)).sum(), wanted) if wanted else ())
        ctx.save_for_backward(*(next(found) if each.requires_grad else None for each in (leaf, *trained)))
        return tuple(term.detach() for term in terms)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *of_terms: Tensor) -> Any:
        first, *others = of_terms
        for other in others:
            torch._assert_async(first == other, "the terms of this loss are added, not weighted")
        return None, *(None if each is None else first * each for each in ctx.saved_tensors)
