"""Arm Cortex-M: .pte programs for CMSIS-NN's kernels; here, ExecuTorch's Python versions compute the integers."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from unskip.errors import UnskipError
from unskip.quiet import quiet
from unskip.records import Estimate, Layer
from unskip.runtimes._estimator import Configuration, Estimator
from unskip.runtimes._pte_plan import PlannedMethod, read_plan
from unskip.runtimes.base import Images, Outputs, Program, answers_in, depth_index

_OWN = "cortex_m::"
_OPERATIONS = {
    "cortex_m::quantized_conv2d": "Conv2D",
    "cortex_m::quantized_depthwise_conv2d": "DepthwiseConv2D",
    "cortex_m::quantized_linear": "FullyConnected",
    "cortex_m::quantized_add": "Add",
    "cortex_m::quantized_max_pool2d": "MaxPool",
    "cortex_m::quantized_avg_pool2d": "AveragePool",
    "aten::convolution": "Conv2D",
    "aten::addmm": "FullyConnected",
    "aten::linear": "FullyConnected",
}
"""What kernels compute, by which layers are found again in a network."""


class CortexM(Estimator):
    """Memory is what the file's own plan sets aside and what the file weighs; nobody estimates cycles for them.

    A plan includes the float32 image and the kernels' scratch memory, which differs between processors. The code of the
    kernels is not in the file. Operations that CMSIS-NN does not have are computed by ExecuTorch's portable kernels,
    mostly in float32; an estimate names them.
    """

    title = "ExecuTorch for Cortex-M"
    targets = tuple(f"cortex-m{name}" for name in ("0", "0plus", "3", "4", "7", "23", "33", "35p", "55", "85"))
    endings = tuple(f".{target}.pte" for target in targets)
    module = "executorch"
    libraries = ("torch", "executorch.backends.cortex_m.passes.cortex_m_pass_manager")
    package = "executorch"
    extra = "ethos-u"  # its passes share code with those for Ethos-U

    @property
    def installed(self) -> bool:
        """With what its passes share with those for Ethos-U."""
        return super().installed and importlib.util.find_spec("tosa_serializer") is not None

    def configuration(self, path: Path) -> Configuration:
        """The processor, by the file's metadata."""
        target = self.read_metadata(path).get("target")
        if target not in self.targets:
            raise UnskipError(f"{path} does not say for which processor it was compiled, as files of `export` do")
        return self.configured(target, {})

    def estimate(self, path: Path) -> Estimate:
        """What the plan in a file says; no cycles, so that those of its layers are 0."""
        target = self.configuration(path).target
        with quiet():
            method = read_plan(path)
        kernels = method.kernels
        if method.metadata.get("normalization") == "inside":  # in float32, in front of the first integers
            kernels = kernels[next((i for i, name in enumerate(kernels) if name.startswith(_OWN)), 0) :]
        return Estimate(
            by=f"the plan of {self.version}",
            target=target,
            memory_bytes={"sram": method.arena_bytes, "flash": path.stat().st_size},
            operations=sum(name.startswith(_OWN) for name in kernels),
            fallback=tuple(name for name in kernels if not name.startswith(_OWN)),
            layers=tuple(
                Layer(operation=_OPERATIONS.get(name, name), name=name, cycles=0, sram_bytes=live)
                for name, live in zip(method.kernels, method.live_bytes(), strict=True)
            ),
        )

    def _complete(self, target: str, setting: Mapping[str, str]) -> Mapping[str, str]:
        return {}

    def _load(self, path: Path, threads: int | None, device: str, depth: str | None) -> Program:
        depth_index(path, (), depth)
        with quiet():
            method = read_plan(path)
        return _Planned(method, answers_in(method.metadata))

    def _read_metadata(self, path: Path) -> Mapping[str, str]:
        with quiet():
            return read_plan(path).metadata


class _Planned(Program):
    def __init__(self, method: PlannedMethod, names: object) -> None:
        self.names = names
        self._method = method
        self.batch_size, *shape = method.input_shape
        self.input_shape = (shape[0], shape[1], shape[2])

    def bound(self, images: Images) -> Callable[[], object]:
        return lambda: self.compute(images)

    def compute(self, images: Images) -> Outputs:
        import torch

        with torch.inference_mode():
            return [output.numpy() for output in self._method(torch.from_numpy(np.ascontiguousarray(images)))]
