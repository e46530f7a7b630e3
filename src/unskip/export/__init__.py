"""Write a network for deployment. A format is one file here and one line in formats.py."""

from unskip.export.base import Format
from unskip.export.executorch import arena_of_file, planned_arena
from unskip.export.formats import FORMATS, find_format, format_for
from unskip.export.proof import Accuracies
from unskip.export.writing import Exported, export_net

__all__ = [
    "FORMATS",
    "Accuracies",
    "Exported",
    "Format",
    "arena_of_file",
    "export_net",
    "find_format",
    "format_for",
    "planned_arena",
]
