"""ExecuTorch: .pte files for phones and microcontrollers, and the memory that its planner gives them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unskip.errors import UnskipError, first_line
from unskip.export.formats._clamps import fuse_clamps
from unskip.export.formats._pt2e import calibrated, of_batch
from unskip.export.formats.base import Conversion, Format
from unskip.nets import StagedNet
from unskip.quiet import quiet
from unskip.runtimes import find_runtime
from unskip.runtimes.executorch import METADATA
from unskip.surgery import fold_batchnorm


class ExecuTorch(Format):
    """For XNNPACK, the fast kernels of phones and computers, or for the portable ones, which run everywhere.

    In 8 bits, for XNNPACK only: weights symmetric by output channel, feature maps asymmetric by tensor.
    """

    order = 1
    runtime_name = "executorch"
    free_batch = False
    int8 = True
    qat = True
    switchable = True
    backends = ("xnnpack", "portable")
    depths_backend = "portable"

    def write(self, conversion: Conversion, path: Path) -> nn.Module | None:
        """See :meth:`Format.write`."""
        quantized = None
        if conversion.calibration is not None:
            quantized = calibrated(conversion, self.quantizer(conversion, qat=False))
            program = of_batch(quantized, conversion)
        else:
            program = conversion.captured()
        path.write_bytes(_lowered(program, conversion.backend, {METADATA: json.dumps(dict(conversion.facts))}).buffer)
        return quantized

    def quantizer(self, conversion: Conversion, *, qat: bool) -> Any:
        """XNNPACK's, which is told what XNNPACK clamps by itself."""
        from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
            XNNPACKQuantizer,
            get_symmetric_quantization_config,
        )

        if conversion.backend != "xnnpack":
            raise UnskipError("in 8 bits ExecuTorch computes by XNNPACK only; leave out `backend` portable")
        settings = get_symmetric_quantization_config(is_per_channel=True, is_qat=qat)
        return fuse_clamps(XNNPACKQuantizer().set_global(settings), settings)

    def weight_steps(self, weight: Tensor) -> Tensor:
        """None is finer than the least of XNNPACK's quantiser; see :meth:`Format.weight_steps`."""
        return super().weight_steps(weight).clamp_min(2**-12)

    def write_depths(self, depths: Mapping[str, Conversion], path: Path) -> None:
        """Write a method for each depth, ``forward`` for the first and one of the depth's name for each other."""
        first, *others = depths.items()
        if first[1].backend != self.depths_backend:
            raise UnskipError(
                "XNNPACK stores the weights of every depth anew, BatchNorm folded into them, so one file would spare "
                "nothing; leave out `backend`, or export each depth by itself (`net`)"
            )
        programs = {"forward": first[1].captured()} | {name: each.captured() for name, each in others}
        path.write_bytes(_lowered(programs, first[1].backend, {METADATA: json.dumps(dict(first[1].facts))}).buffer)


def planned_arena(net: StagedNet, input_shape: tuple[int, int, int], batch_size: int = 1) -> int:
    """Bytes that ExecuTorch's planner sets aside for the feature maps of (batch_size, C, H, W), in float32.

    The plan of the portable kernels, BatchNorm folded: the same on every machine. Raises `UnskipError` where
    ExecuTorch is not installed.
    """
    find_runtime("executorch").require()
    with quiet():
        folded = fold_batchnorm(net).to("cpu", torch.float32)
        conversion = Conversion(folded, input_shape, batch_size, {})
        return _planned(_lowered(conversion.captured(), "portable", {}).executorch_program)


def arena_of_file(path: Path) -> int | None:
    """Bytes that the plan in a .pte file sets aside for feature maps; None where a backend plans for itself.

    XNNPACK is such a backend. Raises `UnskipError` where ExecuTorch is not installed, or the file cannot be read.
    """
    find_runtime("executorch").require()
    if not path.is_file():
        raise UnskipError(f"no file {path}")
    try:
        with quiet():
            from executorch.exir._serialize._program import deserialize_pte_binary

            program = deserialize_pte_binary(path.read_bytes()).program
    except Exception as error:  # parsers of damaged files raise anything
        raise UnskipError(f"{path} is no ExecuTorch file that can be read: {first_line(error)}") from error
    return None if program.execution_plan[0].delegates else _planned(program)


def _planned(program: Any) -> int:
    return int(sum(program.execution_plan[0].non_const_buffer_sizes))


def _lowered(
    program: torch.export.ExportedProgram | dict[str, torch.export.ExportedProgram],
    backend: str | None,
    constants: dict[str, str],
) -> Any:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    partitioner = [XnnpackPartitioner()] if backend == "xnnpack" else None
    edge = to_edge_transform_and_lower(program, partitioner=partitioner, constant_methods=constants)
    return edge.to_executorch()
