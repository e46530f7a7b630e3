"""Class-balanced, deterministic choices of images: pure functions of the labels and a seed."""

from __future__ import annotations

import numpy as np

from unskip.data.image_set import Rows


def balanced_subset(labels: Rows, count: int, seed: int) -> Rows:
    """Rows of ``count`` images, or of all, in rising order; numbers per class differ by at most one where they can.

    A class with too few images gives all it has, and the others make up for it. A smaller subset is part of a larger
    one.
    """
    return np.sort(balanced_order(labels, seed)[:count])


def balanced_share(labels: Rows, fraction: float, seed: int) -> Rows:
    """Rows, in rising order, of a share of every class: the nearest whole number of images, at least one."""
    rank, _, sizes = _ranks(labels, seed)
    return np.flatnonzero(rank < np.maximum(1, np.rint(fraction * sizes)))


def held_out(labels: Rows, fraction: float, seed: int) -> tuple[Rows, Rows]:
    """Rows that stay and rows that are held out, both in rising order.

    Every class keeps and gives at least one image, so classes need two or more.
    """
    rank, _, sizes = _ranks(labels, seed)
    leaves = rank < np.clip(np.rint(fraction * sizes), 1, sizes - 1)
    return np.flatnonzero(~leaves), np.flatnonzero(leaves)


def balanced_order(labels: Rows, seed: int) -> Rows:
    """All rows, shuffled, one image of every class in turn for as long as the classes last."""
    rank, turn, _ = _ranks(labels, seed)
    return np.lexsort((turn, rank))


def _ranks(labels: Rows, seed: int) -> tuple[Rows, Rows, Rows]:
    """For every image: its place within its shuffled class, its class's turn, and its class's size."""
    random = np.random.default_rng(seed)
    _, classes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    by_class = np.lexsort((random.random(len(labels)), classes))
    rank = np.empty(len(labels), np.int64)
    rank[by_class] = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    turns = np.argsort(random.random(len(sizes)))
    return rank, np.argsort(turns)[classes], sizes[classes]
