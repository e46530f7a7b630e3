"""Networks in the project's vocabulary."""

from unskip.nets.staged import NetSpec, Residual, StagedNet
from unskip.nets.zoo import NETS, NetEntry, make_net

__all__ = ["NETS", "NetEntry", "NetSpec", "Residual", "StagedNet", "make_net"]
