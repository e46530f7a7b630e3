"""Test images that are training images too."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from unskip.data.image_set import Rows


def warn_of_shared_images(train: Iterable[bytes], train_labels: Rows, test: Iterable[bytes], test_labels: Rows) -> None:
    """Count the test images whose content, bit by bit, is a training image's: what they measure is memory."""
    places = {hash(content): place for place, content in enumerate(train)}
    shared = [
        (places[key], place)
        for place, content in enumerate(test)
        if content and (key := hash(content)) in places  # nothing is the content of what could not be read
    ]
    if shared:
        other = sum(train_labels[trained] != test_labels[tested] for trained, tested in shared)
        labelled = f", {other} of them under another label" if other else ""
        warnings.warn(
            f"{len(shared)} of {len(test_labels):,} test images are training images too, bit by bit{labelled}",
            stacklevel=4,
        )
