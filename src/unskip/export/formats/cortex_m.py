"""Arm Cortex-M: ExecuTorch programs for CMSIS-NN's kernels, in 8 bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.utils._pytree import tree_map

from unskip.export.formats._pt2e import calibrated, of_batch
from unskip.export.formats.base import Conversion, Format
from unskip.runtimes._pte_plan import read_plan
from unskip.runtimes.executorch import METADATA


class CortexM(Format):
    """Convolutions have a scale by output channel, all else by tensor, feature maps asymmetric, by Arm's quantiser.

    A program is for one processor, in which its name ends: the scratch memory of its kernels is planned for that one.
    Maps lie in memory channels last, and so does the image that it is given, in float32. Operations that CMSIS-NN does
    not have stay in float32, for ExecuTorch's portable kernels.
    """

    order = 7
    runtime_name = "cortex_m"
    free_batch = False
    float32 = False
    int8 = True

    def write(self, conversion: Conversion, path: Path) -> nn.Module:
        """See :meth:`Format.write`."""
        from executorch.backends.cortex_m.edge_compile_config import cortex_m_edge_compile_config
        from executorch.backends.cortex_m.passes.cortex_m_pass_manager import CortexMPassManager
        from executorch.backends.cortex_m.quantizer.quantizer import CortexMQuantizer
        from executorch.backends.cortex_m.target_config import CortexMTargetConfig
        from executorch.exir import to_edge

        device = conversion.device
        assert device is not None
        conversion.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        quantized = calibrated(conversion, CortexMQuantizer(), channels_last=True)
        if conversion.normalization is not None:
            _keep_images(quantized)
        facts = {**conversion.facts, "target": device.target}
        edge = to_edge(
            of_batch(quantized, conversion, channels_last=True),
            compile_config=cortex_m_edge_compile_config(),
            constant_methods={METADATA: json.dumps(facts)},
        )
        config = CortexMTargetConfig.from_target_string(device.target)
        passes = CortexMPassManager(edge.exported_program(), target_config=config)
        lowered = passes.transform()
        reference = _Lowered(lowered.module(), conversion.batch_size or 1)  # before memory is planned in it
        edge._edge_programs["forward"] = lowered
        path.write_bytes(edge.to_executorch().buffer)
        return reference

    def weight_steps(self, weight: Tensor) -> Tensor:
        """255 of them reach from minus to plus the largest weight; see :meth:`Format.weight_steps`."""
        return weight.abs().flatten(1).amax(1) / 127.5

    def requantized_additions(self, path: Path, quantized: nn.Module | None) -> int:
        """See :meth:`Format.requantized_additions`; those that the file calls."""
        return read_plan(path).kernels.count("cortex_m::quantized_add")


class _Lowered(nn.Module):
    """A program of CMSIS-NN's integer operations, for any number of images.

    The quantised network in float32 rounds in other places, and in deep networks that nothing has trained such
    differences grow; this one has to give the very integers of the file.
    """

    def __init__(self, program: nn.Module, batch_size: int) -> None:
        super().__init__()
        self.program = program
        self.batch_size = batch_size

    def forward(self, images: Tensor) -> Any:
        pieces = [self._piece(piece) for piece in images.split(self.batch_size)]
        return tree_map(lambda *tensors: torch.cat(tensors), *pieces)

    def _piece(self, images: Tensor) -> Any:
        filled = torch.cat([images, images[-1:].expand(self.batch_size - len(images), -1, -1, -1)])
        answers = self.program(filled.contiguous(memory_format=torch.channels_last))
        return tree_map(lambda tensor: tensor[: len(images)], answers)


def _keep_images(quantized: GraphModule) -> None:
    """Leave images as they are until they are normalised; the quantiser would round them before that, too."""
    image = next(node for node in quantized.graph.nodes if node.op == "placeholder")
    for quantize in list(image.users):
        for dequantize in list(quantize.users):
            dequantize.replace_all_uses_with(image)
    quantized.graph.eliminate_dead_code()
    quantized.recompile()
