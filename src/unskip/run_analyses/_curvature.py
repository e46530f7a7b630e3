"""How a loss bends around weights: slices along filter-normalised directions, and the largest Hessian eigenvalue."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Losses = Callable[[], Iterable[Tensor]]  # parts of a loss whose sum it is, scalars, each with its own graph

_HIGHEST = 1e6  # a loss beyond is cut, infinity and NaN too
_ROUNDING = 0.01  # share of the larger curvature below which a negative one is taken for rounding


@dataclass(frozen=True)
class Eigenvalue:
    """The largest eigenvalue of a Hessian by power iteration.

    ``residual`` is ``|H v - value v| / |value|`` for the unit vector v at the end, ``iterations`` are products with H.
    """

    value: float
    residual: float
    iterations: int


def largest_eigenvalue(
    parameters: Sequence[Tensor], losses: Losses, *, iterations: int, tolerance: float, seed: int = 0
) -> Eigenvalue:
    """The largest eigenvalue of the Hessian of a loss, by power iteration on Hessian-vector products.

    It ends where the relative residual is below the tolerance, or after so many iterations. Power iteration finds the
    eigenvalue of the largest magnitude: where that is negative, it goes on with ``H - value I``, whose largest
    magnitude belongs to the largest eigenvalue of H, for as many iterations again.
    """
    largest = _dominant(parameters, losses, 0.0, iterations, tolerance, seed)
    if largest.value >= 0:
        return largest
    other = _dominant(parameters, losses, largest.value, iterations, tolerance, seed + 1)
    value = other.value + largest.value
    relative = other.residual * abs(other.value) / abs(value) if value else other.residual
    return Eigenvalue(value, relative, largest.iterations + other.iterations)


def _dominant(
    parameters: Sequence[Tensor], losses: Losses, shift: float, iterations: int, tolerance: float, seed: int
) -> Eigenvalue:
    """The eigenvalue of ``H - shift I`` of the largest magnitude."""
    generator = torch.Generator().manual_seed(seed)
    vector = _unit([torch.randn(each.shape, generator=generator, dtype=each.dtype) for each in parameters])
    value, residual, num_iterations = 0.0, float("inf"), 0
    while num_iterations < iterations:
        num_iterations += 1
        product = hessian_vector_product(parameters, losses, vector)
        product = [each - shift * v for each, v in zip(product, vector, strict=True)]
        value = _dot(product, vector)
        rest = [each - value * v for each, v in zip(product, vector, strict=True)]
        if not value:
            residual = 0.0 if _dot(product, product) == 0 else float("inf")
            break
        residual = _dot(rest, rest) ** 0.5 / abs(value)
        if residual < tolerance:
            break
        vector = _unit(product)
    return Eigenvalue(value, residual, num_iterations)


def hessian_vector_product(parameters: Sequence[Tensor], losses: Losses, vector: Sequence[Tensor]) -> list[Tensor]:
    """The Hessian of a loss times a vector, both in the parameters' shapes."""
    product = [torch.zeros_like(each) for each in parameters]
    for loss in losses():
        first = torch.autograd.grad(loss, parameters, create_graph=True, materialize_grads=True)
        along = torch.stack([(gradient * v).sum() for gradient, v in zip(first, vector, strict=True)]).sum()
        if along.requires_grad:  # a loss may be linear
            second = torch.autograd.grad(along, parameters, materialize_grads=True)
            product = [total + each for total, each in zip(product, second, strict=True)]
    return product


def filter_normalised(parameters: Mapping[str, Tensor], name: str) -> list[Tensor]:
    """A random direction, each filter with the norm of the parameters' own (Li et al. 2018, section 4).

    A filter is what gives one output: the first dimension counts them. Biases and BatchNorm's, of one dimension, are
    left as they are: their direction is 0. Parameters of one name and shape get the same direction, up to the norms,
    in every network; ``name`` tells directions apart.
    """
    direction = []
    for place, parameter in parameters.items():
        if parameter.ndim < 2:
            direction.append(torch.zeros_like(parameter))
            continue
        digest = hashlib.sha256(f"{name} {place}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:6], "big"))
        drawn = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        own, norms = (each.flatten(1).norm(dim=1) for each in (parameter.detach(), drawn))
        scale = own / norms.clamp_min(1e-12)
        direction.append(drawn * scale.view(-1, *(1,) * (parameter.ndim - 1)))
    return direction


@torch.no_grad()
def loss_slice(
    parameters: Sequence[Tensor],
    loss: Callable[[], float],
    directions: tuple[Sequence[Tensor], Sequence[Tensor]],
    places: Sequence[float],
) -> list[list[float]]:
    """``slice[row][column]``: the loss at ``parameters + places[column] x + places[row] y``; they are put back.

    Losses above a million, infinities and NaN are a million.
    """
    trained = [each.clone() for each in parameters]
    heights = []
    try:
        for down in places:
            row = []
            for right in places:
                for parameter, start, x, y in zip(parameters, trained, *directions, strict=True):
                    parameter.copy_(start + right * x + down * y)
                height = loss()
                row.append(min(height, _HIGHEST) if height == height else _HIGHEST)
            heights.append(row)
    finally:
        for parameter, start in zip(parameters, trained, strict=True):
            parameter.copy_(start)
    return heights


def negative_share(heights: Sequence[Sequence[float]]) -> float:
    """The share of a slice's inner points in which it bends downwards in some direction of the slice.

    By the smaller eigenvalue of its Hessian there, by central differences of neighbouring points: whether that is
    negative, by more than a hundredth of the larger one's size, which rounding may do.
    """
    z = torch.tensor(heights, dtype=torch.float64)
    middle = z[1:-1, 1:-1]
    across = z[1:-1, 2:] - 2 * middle + z[1:-1, :-2]
    down = z[2:, 1:-1] - 2 * middle + z[:-2, 1:-1]
    mixed = (z[2:, 2:] - z[2:, :-2] - z[:-2, 2:] + z[:-2, :-2]) / 4
    mean, half = (across + down) / 2, (((across - down) / 2).square() + mixed.square()).sqrt()
    low, high = mean - half, mean + half
    return float((low < -_ROUNDING * high.abs().maximum(low.abs())).double().mean())


def _dot(left: Sequence[Tensor], right: Sequence[Tensor]) -> float:
    return sum(float((a.double() * b.double()).sum()) for a, b in zip(left, right, strict=True))


def _unit(vector: Sequence[Tensor]) -> list[Tensor]:
    norm = _dot(vector, vector) ** 0.5
    return [each / norm for each in vector]
