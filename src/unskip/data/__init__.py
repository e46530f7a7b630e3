"""Images: where they come from, and batches of them on the device."""

from unskip.data.data import Data
from unskip.data.decode import Progress
from unskip.data.load import load_data
from unskip.data.normalize import Normalization, named_normalization
from unskip.data.sources import data_section, recipe_for

__all__ = [
    "Data",
    "Normalization",
    "Progress",
    "data_section",
    "load_data",
    "named_normalization",
    "recipe_for",
]
