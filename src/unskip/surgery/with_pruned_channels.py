"""Narrower networks: the channels of least magnitude go, through Torch-Pruning (Fang et al., DepGraph, CVPR 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, PositiveInt

from unskip.errors import UnskipError
from unskip.nets.staged_net import StagedNet
from unskip.surgery._edit import edit
from unskip.surgery._pruning import pruned


@edit
def with_pruned_channels(
    net: StagedNet,
    *,
    ratio: Annotated[float, Field(gt=0, lt=1)],
    round_to: PositiveInt = 1,
    keep: Sequence[str] = (),
) -> StagedNet:
    """A copy of a network without a share ``ratio`` of the channels of each of its layers.

    Channels that must go together go together, such as those of all layers that a stage's shortcuts add up; without
    shortcuts, each layer's are its own. Of each such group, those of least
    magnitude go, with everything that writes and reads them: the squares of their weights and of BatchNorm's gammas,
    averaged over the group's layers. What the network answers and the images keep their channels. The weights that stay
    are copies; the function is another one, meant to be trained.

    ``round((1 - ratio) channels)`` of a layer's channels stay, rounded to a multiple of ``round_to``, and at least one
    such multiple: how many depends on nothing but the network's structure. Grouped convolutions keep their groups, with
    fewer channels in each; depthwise ones follow what they read. ``keep`` names layers, blocks or stages whose
    convolutions and linear layers keep all their channels, and so does whatever must go together with them.

    Where a shortcut pads or reshapes channels by fixed numbers, as CIFAR ResNets with padding shortcuts do, the layers
    that shortcuts couple keep their channels, and the others lose theirs. Shortcuts that fade come after this edit.

    Needs Torch-Pruning: ``pip install 'unskip[prune]'``. Raises `UnskipError` without it, for a network that it cannot
    prune, such as one that reshapes channels by fixed numbers, and where no layer would lose a channel.
    """
    student = pruned(net, ratio, round_to, keep)
    if student is None:
        raise UnskipError(f"no layer loses a channel with ratio {ratio:g} and round_to {round_to}")
    return student
