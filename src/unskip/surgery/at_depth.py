"""The first blocks of every stage as a network of its own (EKD-DDNN, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import NonNegativeInt

from unskip.nets.staged_net import StagedNet
from unskip.surgery._edit import edit
from unskip.surgery._sub_nets import extract


@edit
def at_depth(net: StagedNet, *, blocks: Sequence[NonNegativeInt]) -> StagedNet:
    """The sub-net of the first ``blocks[s]`` blocks of each stage as a network of its own; see `StagedNet.at_depth`."""
    return extract(net.at_depth(*blocks))
