"""Networks that nobody has trained, as files that are only timed."""

from __future__ import annotations

from pathlib import Path

import torch

from unskip.export.proof import Exported
from unskip.export.writing import export_net
from unskip.nets import StagedNet
from unskip.surgery import with_recalibrated_statistics

__all__ = ["export_untrained"]

_IMAGES = 4
_TOLERANCE = 0.05  # rounding grows in networks that nothing has trained, and their logits do not matter


def export_untrained(
    net: StagedNet, path: Path, input_shape: tuple[int, int, int], *, batch_size: int | None = None
) -> Exported:
    """Write a network with random weights, proved on random images of (channels, height, width); see `export_net`.

    Its BatchNorms get the statistics of its own maps: without them maps vanish or explode on their way through many
    layers, and tiny numbers are slow to compute with.
    """
    images = torch.rand(_IMAGES, *input_shape, generator=torch.Generator().manual_seed(0))
    return export_net(
        with_recalibrated_statistics(net, [images]), path, images, batch_size=batch_size, tolerance=_TOLERANCE
    )
