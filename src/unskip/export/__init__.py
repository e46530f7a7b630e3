"""Write a network for deployment. A format is one file in `formats`."""

from unskip.export.eight_bits import QuantizationAwareTraining
from unskip.export.estimating import estimate_untrained, format_for_device, known_estimate, untrained_conversion
from unskip.export.formats import FORMATS, find_format, format_for
from unskip.export.formats.base import Format, with_normalization
from unskip.export.formats.executorch import arena_of_file, planned_arena
from unskip.export.proof import Exported, Quantization, Scores
from unskip.export.writing import CALIBRATION_IMAGES, export_net, export_switchable, export_untrained

__all__ = [
    "CALIBRATION_IMAGES",
    "FORMATS",
    "Exported",
    "Format",
    "Quantization",
    "QuantizationAwareTraining",
    "Scores",
    "arena_of_file",
    "estimate_untrained",
    "export_net",
    "export_switchable",
    "export_untrained",
    "find_format",
    "format_for",
    "format_for_device",
    "known_estimate",
    "planned_arena",
    "untrained_conversion",
    "with_normalization",
]
