"""Networks in the project's vocabulary."""

from unskip.nets.staged import NetSpec, Residual, StagedNet
from unskip.nets.zoo import FAMILIES, NETS, NetEntry, find_net, make_net

__all__ = ["FAMILIES", "NETS", "NetEntry", "NetSpec", "Residual", "StagedNet", "find_net", "make_net"]
