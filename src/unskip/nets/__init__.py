"""Networks in the project's vocabulary."""

from unskip.nets.parse import kept_branches, num_kept_additions, original_place, parse
from unskip.nets.plain_modules import staged
from unskip.nets.shapes import image_channels
from unskip.nets.staged_net import NetSpec, Residual, StagedNet
from unskip.nets.stand_ins import ByMode
from unskip.nets.unopened import Unopened, unknown_shortcuts, unopened_modules
from unskip.nets.zoo import FAMILIES, NETS, PACKAGES, NetEntry, find_net, fresh_net, make_net

__all__ = [
    "FAMILIES",
    "NETS",
    "PACKAGES",
    "ByMode",
    "NetEntry",
    "NetSpec",
    "Residual",
    "StagedNet",
    "Unopened",
    "find_net",
    "fresh_net",
    "image_channels",
    "kept_branches",
    "make_net",
    "num_kept_additions",
    "original_place",
    "parse",
    "staged",
    "unknown_shortcuts",
    "unopened_modules",
]
