"""An epoch's order of images that lie in groups, of which only some are in memory at once."""

from __future__ import annotations

import numpy as np

from unskip.data.image_set import Rows

_LANES = 8  # up to so many processes read no group of one another
_SMALLEST_WINDOW = 3  # groups


def windowed_order(groups: Rows, random: np.random.Generator, batch_size: int, rows_at_once: int) -> Rows:
    """All rows, shuffled so that those between a group's first use and its last are of few groups.

    ``groups``: (rows,) which group each lies in; ``rows_at_once``: how many rows the groups in use have together, on
    average. The groups are shuffled and dealt to lanes; each lane shuffles the rows of some groups, then of the next
    ones, and every batch takes as many rows of each lane, side by side. So ranks, which take a stretch of every batch,
    read groups of their own, and what a batch holds does not depend on how many they are.
    """
    if not len(groups):
        return np.arange(0)
    names, indices = np.unique(groups, return_inverse=True)
    turns = random.permutation(len(names))[indices]
    rows = np.argsort(turns, kind="stable")
    groups_at_once = rows_at_once * len(names) // len(groups)
    lanes = _lanes(batch_size if batch_size <= len(groups) else 1, groups_at_once)
    window = max(1, groups_at_once // (lanes + 1))
    stretches = [
        # Lanes come to their next window one after the other: together they would need twice the memory.
        _shuffled(stretch, turns, random, window, first=window * (lane + 1) // lanes)
        for lane, stretch in enumerate(np.array_split(rows, lanes))
    ]
    steps, each = len(groups) // batch_size, batch_size // lanes
    full = np.stack([stretch[: steps * each].reshape(steps, each) for stretch in stretches], 1).reshape(-1)
    return np.concatenate([full, *(stretch[steps * each :] for stretch in stretches)])


def _lanes(batch_size: int, groups_at_once: int) -> int:
    lanes = _LANES
    while lanes > 1 and (batch_size % lanes or groups_at_once < (lanes + 1) * _SMALLEST_WINDOW):
        lanes //= 2
    return lanes


def _shuffled(rows: Rows, turns: Rows, random: np.random.Generator, window: int, first: int) -> Rows:
    """Rows shuffled within windows of so many groups, the ``first`` window of its own size."""
    windows = (turns[rows] - turns[rows[0]] + window - max(1, first)) // window
    return rows[np.lexsort((random.random(len(rows)), windows))]
