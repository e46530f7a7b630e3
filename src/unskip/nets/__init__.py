"""Networks in the project's vocabulary."""

from unskip.nets.parse import kept_branches, original_place, parse
from unskip.nets.staged import NetSpec, Residual, StagedNet
from unskip.nets.zoo import FAMILIES, NETS, PACKAGES, NetEntry, find_net, make_net

__all__ = [
    "FAMILIES",
    "NETS",
    "PACKAGES",
    "NetEntry",
    "NetSpec",
    "Residual",
    "StagedNet",
    "find_net",
    "kept_branches",
    "make_net",
    "original_place",
    "parse",
]
