"""ExecuTorch: .pte files, in its Python runtime, with XNNPACK or the portable kernels as the file says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unskip.quiet import quiet
from unskip.runtimes._own_process import metadata_by_own_process
from unskip.runtimes.base import Images, Outputs, Program, Runtime, answers_in, depth_index, depths_in

METADATA = "unskip"  # a method of the program that returns a JSON text


class ExecuTorch(Runtime):
    """The number of threads is that of the whole process, so it is set for every file that is loaded after it."""

    title = "ExecuTorch"
    endings = (".pte",)
    module = "executorch"
    libraries = ("torch", "executorch.extension.pybindings._C")
    package = "executorch"
    extra = "executorch"

    def _load(self, path: Path, threads: int | None, device: str, depth: str | None) -> Program:
        with quiet():
            library = _library()
            library._threadpool_get_thread_count()  # the first to ask looks at the processor, and prints
            if threads is not None:
                library._unsafe_reset_threadpool(threads)
            program, facts = _opened(path)
            place = depth_index(path, depths_in(facts), depth)
            return _Method(program, program.load_method("forward" if not place else depth), answers_in(facts))

    def _read_metadata(self, path: Path) -> Mapping[str, str]:
        """Where the file is run once too: a damaged one can end the process that loads it."""
        return program_metadata(path, self, "_probe")


def program_metadata(path: Path, runtime: Runtime, probe: str = "_metadata") -> Mapping[str, str]:
    """The metadata of a .pte file, read in a process of its own, which a damaged file can end.

    ``probe`` names the function of this module that reads them. Raises `UnskipError`, which names the ``runtime``, for
    a file that cannot be read.
    """
    return metadata_by_own_process(path, runtime, f"{__name__}:{probe}")


def _library() -> Any:
    """What `executorch.runtime` is built on; that module would import the whole exporter, which takes seconds."""
    import torch  # noqa: F401  (the library needs its symbols)
    from executorch.extension.pybindings import _C

    return _C


def _opened(path: Path) -> tuple[Any, Mapping[str, str]]:
    """The program in a file, and its metadata."""
    library = _library()
    program = library._load_program(str(path), program_verification=library.Verification.InternalConsistency)
    known = METADATA in (program.get_method_name(place) for place in range(program.num_methods()))
    return program, json.loads(program.load_method(METADATA)([])[0]) if known else {}


def _metadata(path: Path) -> Mapping[str, str]:
    """The metadata of a file whose network another processor runs."""
    with quiet():
        return _opened(path)[1]


def _probe(path: Path) -> Mapping[str, str]:
    """The metadata of a file after it was run once."""
    with quiet():
        program, facts = _opened(path)
        method = _Method(program, program.load_method("forward"), answers_in(facts))
        if method.input_shape is not None:
            method.compute(np.zeros((method.batch_size or 1, *method.input_shape), np.float32))
        return facts


class _Method(Program):
    def __init__(self, program: Any, method: Any, names: Any) -> None:
        self.names = names
        self._program = program  # the method reads its weights from it
        self._method = method
        batch, *shape = method.method_meta().input_tensor_meta(0).sizes()
        self.batch_size = batch
        self.input_shape = tuple(shape) if len(shape) == 3 else None

    def bound(self, images: Images) -> Callable[[], object]:
        import torch

        inputs = [torch.from_numpy(images)]
        return lambda: self._method(inputs)

    def compute(self, images: Images) -> Outputs:
        import torch

        return [output.numpy().copy() for output in self._method([torch.from_numpy(images)])]
