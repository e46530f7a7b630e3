"""Networks without their shortcuts."""

from __future__ import annotations

from collections.abc import Sequence

from unskip.nets.staged_net import StagedNet, plain_block
from unskip.surgery._blocks import chosen_blocks
from unskip.surgery._edit import edit
from unskip.surgery._stochastic_depth import remove_stochastic_depth


@edit
def without_shortcuts(net: StagedNet, *, keep: Sequence[str] = (), only: Sequence[str] = ()) -> StagedNet:
    """A copy of a network without its shortcuts, projections included.

    Every block becomes its body followed by its activation: conv-bn-relu-conv-bn-relu for the basic block, the student
    of AlignKD (section 3) and of JointRD. The weights are copies of the network's own, under the same names; build
    the copy's ``spec`` for fresh ones, which start as plain blocks do where the network's own are meant for a shortcut
    (`build`). Stochastic depth goes with the shortcut, dropout stays. ``only`` names the shortcuts that go, all of them
    when it is empty; ``keep`` names shortcuts that stay. Both name blocks (``stage2.block1``), whole stages
    (``stage2``), or a kind (``identity``, ``projection``).

    Raises `UnskipError` for a name that fits no shortcut.
    """
    for place, block in chosen_blocks(net, keep=keep, only=only).items():
        net.set_submodule(place, plain_block(remove_stochastic_depth(block.body), block.activation))
    return net
