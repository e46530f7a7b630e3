"""ONNX Runtime: .onnx files, on the CPU or, with its CUDA build, on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unskip.errors import UnskipError
from unskip.runtimes.base import Images, Outputs, Program, Runtime, answers_in, depth_index, depths_in

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxRuntime(Runtime):
    """One call at a time; with a given number of threads, those that wait sleep instead of spinning."""

    title = "ONNX Runtime"
    endings = (".onnx",)
    module = "onnxruntime"
    libraries = ("onnxruntime",)
    package = "onnxruntime"
    extra = None
    devices = ("cpu", "cuda")

    @property
    def version(self) -> str:
        """Its name and version; the distribution of the CUDA build has another name."""
        import onnxruntime

        return f"{self.title} {onnxruntime.__version__}"

    def _load(self, path: Path, threads: int | None, device: str, depth: str | None) -> Program:
        import onnxruntime

        if _PROVIDERS[device] not in onnxruntime.get_available_providers():
            raise UnskipError(f"{self.version} is built without {device}: pip install onnxruntime-gpu")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.inter_op_num_threads = 1
        if threads is not None:
            options.intra_op_num_threads = threads
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(str(path), options, providers=[_PROVIDERS[device]])
        if _PROVIDERS[device] not in session.get_providers():  # it falls back to the CPU without an error
            raise UnskipError(f"{self.version} finds no {device} device that it can use")
        facts = session.get_modelmeta().custom_metadata_map
        depths = depths_in(facts)
        if len(session.get_inputs()) != (2 if depths else 1):
            raise UnskipError(f"{path} takes other inputs than images; it was not written by unskip")
        return _Session(session, device, depth_index(path, depths, depth), answers_in(facts))

    def _read_metadata(self, path: Path) -> Mapping[str, str]:
        import onnx

        model = onnx.load_model(path, load_external_data=False)
        return {entry.key: entry.value for entry in model.metadata_props}


class _Session(Program):
    def __init__(self, session: Any, device: str, depth: int, names: Any) -> None:
        self.names = names
        self._session = session
        self._device = device
        self._input, *more = (entry.name for entry in session.get_inputs())
        self._others = {name: np.array(depth, np.int64) for name in more}
        batch, *shape = (size if isinstance(size, int) else None for size in session.get_inputs()[0].shape)
        self.batch_size = batch
        self.input_shape = tuple(shape) if len(shape) == 3 and None not in shape else None  # type: ignore[assignment]

    def bound(self, images: Images) -> Callable[[], object]:
        if self._device != "cpu":
            return self._on_device(images)
        feeds = {self._input: images, **self._others}
        return lambda: self._session.run(None, feeds)

    def _on_device(self, images: Images) -> Callable[[], object]:
        """Images and answers stay on the device."""
        import onnxruntime

        binding = self._session.io_binding()
        binding.bind_ortvalue_input(self._input, onnxruntime.OrtValue.ortvalue_from_numpy(images, self._device, 0))
        for name, value in self._others.items():
            binding.bind_cpu_input(name, value)
        for output in self._session.get_outputs():
            binding.bind_output(output.name, self._device)

        def call() -> None:
            self._session.run_with_iobinding(binding)
            binding.synchronize_outputs()

        return call

    def compute(self, images: Images) -> Outputs:
        outputs: Outputs = self._session.run(None, {self._input: images, **self._others})
        return outputs
