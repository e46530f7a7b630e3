"""How similar two representations of the same images are: linear CKA, with the unbiased estimator of HSIC."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def gram(features: Tensor) -> Tensor:
    """The products (images, images), float64, of features (images, features) whose means are taken away."""
    centred = features.double() - features.double().mean(0)
    return centred @ centred.T


def cka(one: Tensor, other: Tensor) -> float:
    """Linear CKA of two representations by their :func:`gram` matrices of the same images, at least 4.

    Kornblith et al., Similarity of Neural Network Representations Revisited (2019), with HSIC estimated without bias
    (Song et al. 2012; as Nguyen et al. 2021 have it), which the plain estimate overstates where there are fewer images
    than features. 1 for representations that are equal up to rotation and scale, about 0 for unrelated ones, and
    slightly below 0 by chance; NaN where a representation is the same for all images.
    """
    scale = (unbiased_hsic(one, one) * unbiased_hsic(other, other)).clamp_min(0).sqrt()
    return float(unbiased_hsic(one, other) / scale) if scale else math.nan


def unbiased_hsic(one: Tensor, other: Tensor) -> Tensor:
    """The unbiased estimate of HSIC of two Gram matrices (images, images), Song et al. 2012, equation 5."""
    count = len(one)
    k, h = (matrix - torch.diag(matrix.diagonal()) for matrix in (one, other))
    whole = k.sum() * h.sum() / ((count - 1) * (count - 2))
    rows = (k.sum(0) * h.sum(0)).sum() * 2 / (count - 2)
    return ((k * h).sum() + whole - rows) / (count * (count - 3))
