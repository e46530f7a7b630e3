"""PyTorch itself: .pt2 files as `torch.export.save` writes them, run operation by operation."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from unskip.answers import tensors_in
from unskip.errors import UnskipError
from unskip.quiet import quiet
from unskip.runtimes._pt2_archive import check_archive
from unskip.runtimes.base import Images, Outputs, Program, Runtime, answers_in, depth_index

METADATA = "unskip.json"  # a file inside the archive


class PyTorch(Runtime):
    """The number of threads is that of the whole process, so it is set for every file that is loaded after it."""

    title = "PyTorch"
    endings = (".pt2",)
    module = "torch"
    libraries = ("torch", "torch.export.pt2_archive._package")
    package = "torch"
    extra = None
    devices = ("cpu", "cuda")

    def _load(self, path: Path, threads: int | None, device: str, depth: str | None) -> Program:
        import torch

        depth_index(path, (), depth)
        if device == "cuda" and not torch.cuda.is_available():
            raise UnskipError("PyTorch sees no CUDA device here")
        if threads is not None:
            torch.set_num_threads(threads)
        check_archive(path)
        with quiet():
            return _Exported(torch.export.load(path), device, answers_in(self._read_metadata(path)))

    def _read_metadata(self, path: Path) -> Mapping[str, str]:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(f"/extra/{METADATA}")]
            facts: dict[str, str] = json.loads(archive.read(names[0])) if names else {}
        return facts


class _Exported(Program):
    def __init__(self, program: Any, device: str, names: Any) -> None:
        self.names = names
        self._device = device
        self._module = program.module().to(device)
        name = program.graph_signature.user_inputs[0]
        value = next(node for node in program.graph.nodes if node.name == name).meta["val"]
        batch, *shape = (size if isinstance(size, int) else None for size in value.shape)
        self.batch_size = batch
        self.input_shape = tuple(shape) if len(shape) == 3 and None not in shape else None  # type: ignore[assignment]

    def device_peak_bytes(self) -> int | None:
        import torch

        return torch.cuda.max_memory_allocated() if self._device == "cuda" else None

    def bound(self, images: Images) -> Callable[[], object]:
        import torch

        tensor = torch.from_numpy(images).to(self._device)

        def call() -> object:
            with torch.inference_mode():
                outputs = self._module(tensor)
                if self._device == "cuda":
                    torch.cuda.synchronize()
                return outputs

        return call

    def compute(self, images: Images) -> Outputs:
        import torch

        with torch.inference_mode():
            outputs = self._module(torch.from_numpy(images).to(self._device))
        return [output.cpu().numpy() for output in tensors_in(outputs)]
