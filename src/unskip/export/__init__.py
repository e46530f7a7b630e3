"""Write a network for deployment. A format is one file here and one line in formats.py."""

from unskip.export.base import Format
from unskip.export.executorch import arena_of_file, planned_arena
from unskip.export.formats import FORMATS, find_format, format_for
from unskip.export.proof import Exported, Scores
from unskip.export.untrained import export_untrained
from unskip.export.writing import export_net, export_switchable

__all__ = [
    "FORMATS",
    "Exported",
    "Format",
    "Scores",
    "arena_of_file",
    "export_net",
    "export_switchable",
    "export_untrained",
    "find_format",
    "format_for",
    "planned_arena",
]
