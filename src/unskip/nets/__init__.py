"""Networks in the project's vocabulary."""

from unskip.nets.own_modules import allow_module, allow_module_of, own_module_of
from unskip.nets.parse import kept_branches, original_place, parse
from unskip.nets.staged import NetSpec, Residual, StagedNet
from unskip.nets.zoo import FAMILIES, NETS, PACKAGES, NetEntry, find_net, fresh_net, make_net

__all__ = [
    "FAMILIES",
    "NETS",
    "PACKAGES",
    "NetEntry",
    "NetSpec",
    "Residual",
    "StagedNet",
    "allow_module",
    "allow_module_of",
    "find_net",
    "fresh_net",
    "kept_branches",
    "make_net",
    "original_place",
    "own_module_of",
    "parse",
]
