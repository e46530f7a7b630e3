"""PyTorch: a .pt2 file, the operations as torch.export captures them."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from unskip.export.formats.base import Conversion, Format
from unskip.runtimes.torch import METADATA

_DEBUGGING = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node")


class Torch(Format):
    """Read by `torch.export.load`; the metadata are the extra file ``unskip.json``."""

    order = 3
    runtime_name = "torch"

    def write(self, conversion: Conversion, path: Path) -> None:
        """See :meth:`Format.write`."""
        program = conversion.captured()
        for node in program.graph.nodes:  # where in which file an operation stood is nobody's business
            for note in _DEBUGGING:
                node.meta.pop(note, None)
        program.example_inputs = None
        torch.export.save(program, path, extra_files={METADATA: json.dumps(dict(conversion.facts))})
