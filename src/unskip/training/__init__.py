"""The training loop, and where it runs."""

from unskip.training.checkpoint import Checkpoint
from unskip.training.device import describe_numerics, make_fabric
from unskip.training.monitor import Monitor
from unskip.training.synchronized import can_synchronize
from unskip.training.train import train

__all__ = ["Checkpoint", "Monitor", "can_synchronize", "describe_numerics", "make_fabric", "train"]
