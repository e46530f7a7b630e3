"""OpenVINO: .xml files with their .bin beside them, and .onnx files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from unskip.answers import LOGITS
from unskip.errors import UnskipError, first_line
from unskip.quiet import quiet
from unskip.runtimes.base import Images, Outputs, Program, Runtime, answers_in, depth_index

METADATA = ["unskip", "metadata"]  # the path in a model's runtime information


class OpenVino(Runtime):
    """One stream, computing in the precision of the file, never in a lower one that the processor has."""

    title = "OpenVINO"
    endings = (".xml", ".onnx")
    module = "openvino"
    libraries = ("openvino",)
    package = "openvino"
    extra = "openvino"

    def _load(self, path: Path, threads: int | None, device: str, depth: str | None) -> Program:
        depth_index(path, (), depth)
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        with quiet():
            compiled = _core().compile_model(path, "CPU", settings)
        if len(compiled.inputs) != 1:
            raise UnskipError(f"{path} takes more than images; OpenVINO runs files of one depth only")
        plain = [output.get_names() for output in compiled.outputs] == [{LOGITS}]
        return _Compiled(compiled, LOGITS if plain else answers_in(_facts(path)))

    def _read_metadata(self, path: Path) -> Mapping[str, str]:
        return _facts(path)

    def import_libraries(self) -> None:
        """Without its telemetry."""
        self.require()
        library()

    def _reason(self, error: Exception) -> str:
        """OpenVINO's exceptions begin with places in its code."""
        lines = [line.strip() for line in str(error).splitlines()]
        return next((line for line in lines if line and not line.startswith("Exception from")), first_line(error))


def _facts(path: Path) -> Mapping[str, str]:
    with quiet():
        model = _core().read_model(path)
    facts: dict[str, str] = {}
    if model.has_rt_info(METADATA):
        facts = json.loads(model.get_rt_info(METADATA).astype(str))
    elif model.has_rt_info("framework"):  # what an ONNX file says beside the network
        facts = {name: str(model.get_rt_info(["framework", name]).value) for name in model.rt_info["framework"]}
    return facts


@cache
def _core() -> Any:
    """The one core of the process, which lives as long as the process does.

    A core's processor plugin gives the thread an alternate signal stack and takes it away when it ends. Of several
    cores that end in another order than the reverse of their making, one leaves the thread a stack that is no longer
    there, and the next signal with a handler in Python, such as Ctrl-C, kills the process.
    """
    return library().Core()


def library() -> Any:
    """OpenVINO as it is where its telemetry is not installed, unless somebody has imported it before.

    With it every import, and every step of a conversion, forks this process to report to Google Analytics, asked or
    not, and leaves files in the user's home.
    """
    telemetry = "openvino_telemetry"
    before = sys.modules.get(telemetry)
    sys.modules[telemetry] = None  # type: ignore[assignment]
    try:
        import openvino
    finally:
        del sys.modules[telemetry]
        if before is not None:
            sys.modules[telemetry] = before
    return openvino


class _Compiled(Program):
    def __init__(self, compiled: Any, names: Any) -> None:
        self.names = names
        self._request = compiled.create_infer_request()
        self._outputs_in_order = compiled.outputs
        batch, *shape = (None if size.is_dynamic else size.get_length() for size in compiled.input(0).partial_shape)
        self.batch_size = batch
        self.input_shape = tuple(shape) if len(shape) == 3 and None not in shape else None  # type: ignore[assignment]

    def bound(self, images: Images) -> Callable[[], object]:
        return lambda: self._request.infer([images], share_inputs=True)

    def compute(self, images: Images) -> Outputs:
        outputs = self._request.infer([images], share_inputs=True)
        return [np.array(outputs[output]) for output in self._outputs_in_order]
