"""Dirac-parameterised convolutions for plain students."""

from __future__ import annotations

from torch import nn

from unskip.errors import UnskipError
from unskip.nets.dirac import DiracConv2d
from unskip.nets.staged_net import StagedNet
from unskip.surgery._blocks import convs_of_bodies
from unskip.surgery._edit import edit


@edit
def with_dirac_convs(net: StagedNet) -> StagedNet:
    """A copy of a network whose stages convolve with ``alpha * delta + beta * weight`` (JointRD's ImageNet student).

    Every convolution of the stages but those of shortcuts is one; a plain net starts near the identity then, which is
    what its shortcuts would have given it. The weights are copies, the function is another: meant for fresh students.
    `fold_dirac` makes ordinary convolutions of the trained ones.

    Raises `UnskipError` when there is nothing to replace.
    """
    convs = {place: conv for place, conv in convs_of_bodies(net).items() if type(conv) is nn.Conv2d}
    if not convs:
        raise UnskipError("the stages have no ordinary convolution")
    for place, conv in convs.items():
        net.set_submodule(place, DiracConv2d.of(conv))
    return net
