"""Networks in the project's vocabulary."""

from unskip.nets.staged import NetSpec, Residual, StagedNet
from unskip.nets.zoo import NETS, default_image_size, make_net, net_summary

__all__ = ["NETS", "NetSpec", "Residual", "StagedNet", "default_image_size", "make_net", "net_summary"]
