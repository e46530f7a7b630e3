"""From a teacher and images to the networks that ship; the training loop, and where it runs."""

from unskip.training.average import AverageWeights
from unskip.training.checkpoint import Checkpoint
from unskip.training.device import describe_numerics, make_fabric
from unskip.training.distill import Distilled, ImagesOf, OnSnapshot, distill, plain, train_student
from unskip.training.duration import Estimate, estimate, seconds_per_step
from unskip.training.monitor import Monitor, OnEpoch
from unskip.training.synchronized import can_synchronize

__all__ = [
    "AverageWeights",
    "Checkpoint",
    "Distilled",
    "Estimate",
    "ImagesOf",
    "Monitor",
    "OnEpoch",
    "OnSnapshot",
    "can_synchronize",
    "describe_numerics",
    "distill",
    "estimate",
    "make_fabric",
    "plain",
    "seconds_per_step",
    "train_student",
]
