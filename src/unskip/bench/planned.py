"""The arena that ExecuTorch's planner sets aside for a network's feature maps."""

from __future__ import annotations

import warnings

import torch

from unskip.nets import StagedNet
from unskip.runtimes import find_runtime
from unskip.surgery import fold_batchnorm

__all__ = ["planned_arena"]


def planned_arena(net: StagedNet, input_shape: tuple[int, int, int], batch_size: int = 1) -> int:
    """Bytes for the feature maps of (batch_size, C, H, W) in float32, as the portable runtime is given them.

    BatchNorm is folded. `UnskipError` where ExecuTorch is not installed.
    """
    find_runtime("executorch").require()
    from executorch.exir import to_edge

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported = torch.export.export(fold_batchnorm(net), (torch.zeros(batch_size, *input_shape),))
        program = to_edge(exported).to_executorch().executorch_program
    return int(sum(program.execution_plan[0].non_const_buffer_sizes))
