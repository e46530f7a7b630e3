"""ncnn: a .ncnn.param file with the operations; the weights lie beside it in .ncnn.bin, the metadata in .ncnn.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unskip.files import parse_json
from unskip.quiet import quiet
from unskip.runtimes._own_process import metadata_by_own_process
from unskip.runtimes.base import Images, Outputs, Program, Runtime, answers_in, depth_index

BATCH_SIZE = "batch_size"  # among the metadata: the files themselves know no batches
_MAGIC = "7767517"


class Ncnn(Runtime):
    """On the CPU in float32, never in a shorter type that the processor has.

    ncnn has no batches: it computes the images of one one after another.
    """

    title = "ncnn"
    endings = (".ncnn.param",)
    module = "ncnn"
    libraries = ("ncnn",)
    package = "ncnn"
    extra = "ncnn"

    def _load(self, path: Path, threads: int | None, device: str, depth: str | None) -> Program:
        depth_index(path, (), depth)
        return _opened(path, threads)

    def _read_metadata(self, path: Path) -> Mapping[str, str]:
        """In a process of its own, where the file is run once too."""
        return metadata_by_own_process(path, self, f"{__name__}:_probe")


def weights_of(path: Path) -> Path:
    """Where the weights of a file lie."""
    return path.with_suffix(".bin")


def metadata_of(path: Path) -> Path:
    """Where the metadata of a file lie."""
    return path.with_suffix(".json")


def missing_operations(path: Path) -> list[str]:
    """The kinds of layers in a file that ncnn does not have."""
    import ncnn

    kinds = dict.fromkeys(line.split()[0] for line in _lines(path)[2:])
    return [kind for kind in kinds if ncnn.layer_to_index(kind) < 0]


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text("utf-8").splitlines() if line.strip()]


def _opened(path: Path, threads: int | None) -> _Net:
    """A file, ready to run; `ValueError` for one that is damaged."""
    _check_operations(path)
    if not weights_of(path).is_file():
        raise ValueError(f"its weights are missing, {weights_of(path).name}")
    facts = _facts(path)
    with quiet():
        return _Net(_loaded(path, threads), facts)


def _check_operations(path: Path) -> None:
    """Raise `ValueError` for text that is no list of operations, before native code reads it."""
    magic, counts, *operations = [*_lines(path), "", ""]
    if magic.strip() != _MAGIC:
        raise ValueError("it does not begin as ncnn's files do")
    num_operations = sum(map(bool, operations))
    if counts.split()[:1] != [str(num_operations)]:
        raise ValueError(f"it is damaged: it says {counts!r}, and holds {num_operations} operations")
    if missing := missing_operations(path):
        raise ValueError(f"ncnn has no operation {' and no '.join(missing)}")


def _facts(path: Path) -> Mapping[str, str]:
    file = metadata_of(path)
    facts = parse_json(file.read_bytes(), file.name) if file.is_file() else {}
    if not isinstance(facts, Mapping):
        raise ValueError(f"{file.name} is damaged: expected names and texts")
    return facts


def _loaded(path: Path, threads: int | None) -> Any:
    import ncnn

    net = ncnn.Net()
    if threads is not None:
        net.opt.num_threads = threads
        net.opt.openmp_blocktime = 0  # threads that wait sleep
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_packed = net.opt.use_bf16_storage = False
    if net.load_param(str(path)) or net.load_model(str(weights_of(path))):
        raise ValueError("its operations or its weights are damaged, or do not belong together")
    if len(net.input_names()) != 1:
        raise ValueError("it takes other inputs than images; it was not written by unskip")
    return net


def _sizes(facts: Mapping[str, str], name: str) -> Any:
    """A size among the metadata, or a list of them; None where they do not have it."""
    given = parse_json(facts.get(name, "null"), f"what it says of its {name}")
    for size in given if isinstance(given, list) else [given]:
        if given is not None and not (isinstance(size, int) and size > 0):
            raise ValueError(f"what it says of its {name} is damaged: {given!r}")
    return given


class _Net(Program):
    def __init__(self, net: Any, facts: Mapping[str, str]) -> None:
        self.names = answers_in(facts)
        self._net = net
        self._input = net.input_names()[0]
        self._outputs_in_order = sorted(net.output_names(), key=lambda name: (len(name), name))  # out0 .. out9, out10
        self.batch_size = _sizes(facts, BATCH_SIZE)
        shape = _sizes(facts, "image_shape")
        self.input_shape = None if shape is None else tuple(shape)

    def bound(self, images: Images) -> Callable[[], object]:
        return lambda: self._each(images)

    def compute(self, images: Images) -> Outputs:
        answers = [[np.array(tensor) for tensor in tensors] for tensors in self._each(images)]
        return [np.stack(tensors) for tensors in zip(*answers, strict=True)]

    def _each(self, images: Images) -> list[list[Any]]:
        """The tensors of the answers to each image."""
        import ncnn

        answers = []
        for image in images:
            extractor = self._net.create_extractor()
            extractor.input(self._input, ncnn.Mat(image))
            answers.append([extractor.extract(name)[1] for name in self._outputs_in_order])
        return answers


def _probe(path: Path) -> Mapping[str, str]:
    """The metadata of a file after it was run once."""
    program = _opened(path, 1)
    if program.input_shape is not None:
        program.compute(np.zeros((1, *program.input_shape), np.float32))
    return _facts(path)
