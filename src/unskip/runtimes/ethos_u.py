"""Arm Ethos-U: .pte programs for ExecuTorch on that processor; here, the integers run in Arm's TOSA reference model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from unskip.errors import UnskipError
from unskip.files import parse_json
from unskip.quiet import quiet
from unskip.records import Estimate
from unskip.runtimes import _vela, _vela_names
from unskip.runtimes._estimator import SRAM, Configuration, Estimator, known_word
from unskip.runtimes.base import Images, Outputs, Program, answers_in, depth_index
from unskip.runtimes.executorch import program_metadata

Integers = list[NDArray[Any]]  # outputs (times, batch, ..)
GRAPH_SUFFIX = ".tosa"
_DEFAULTS = {  # as ExecuTorch chooses them
    "ethos-u55": ("Ethos_U55_High_End_Embedded", "Shared_Sram"),
    "ethos-u65": ("Ethos_U65_High_End", "Dedicated_Sram_384KB"),
    "ethos-u85": ("Ethos_U85_SYS_DRAM_Mid", "Sram_Only"),
}


@dataclass(frozen=True)
class Scale:
    """How integers stand for numbers: ``number = (integer - zero) * scale``."""

    scale: float
    zero: int


@dataclass(frozen=True)
class IntegerGraph:
    """What surrounds the integers of a graph: the scales of its input and outputs, and the shape of its images.

    ``digest`` is that of the graph that belongs to the file. ``mean`` and ``std``, by channel, are taken off before;
    None where images come normalised.
    """

    input: Scale
    outputs: tuple[Scale, ...]
    shape: tuple[int, int, int, int]
    digest: str
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def to_json(self) -> str:
        """A text for a file's metadata."""
        return json.dumps(asdict(self))

    @classmethod
    def from_facts(cls, facts: Mapping[str, str], path: Path) -> IntegerGraph:
        """What a file's metadata say; `UnskipError` where they say nothing that can be."""
        try:
            data: Any = parse_json(facts["integers"], f"what {path} says of its integers")
            return cls(
                input=Scale(**data["input"]),
                outputs=tuple(Scale(**each) for each in data["outputs"]),
                shape=tuple(data["shape"]),
                digest=data["digest"],
                mean=data["mean"] and tuple(data["mean"]),
                std=data["std"] and tuple(data["std"]),
            )
        except (KeyError, TypeError) as error:
            raise UnskipError(f"{path} does not say how its integers are scaled, as files of `export` do") from error


class EthosU(Estimator):
    """Estimates are those of Vela, Arm's compiler for these processors.

    ``system_config`` names the clock and the memories, ``memory_mode`` what lies in which of them, ``optimise`` whether
    Vela spends SRAM for speed or spares it.
    """

    title = "Ethos-U"
    software = "Arm's compiler for Ethos-U"
    targets = _vela.TARGETS
    endings = tuple(f".{target}.pte" for target in targets)
    module = "ethosu"
    libraries = ("tosa_reference_model",)
    package = "ethos-u-vela"
    extra = "ethos-u"
    options: ClassVar[Mapping[str, str]] = {
        "system_config": "the clock and the memories' speed, by Vela's name, such as Ethos_U65_High_End",
        "memory_mode": "what lies in which memory: Sram_Only, Shared_Sram (weights in flash), Dedicated_Sram_384KB (a "
        "cache in front of DRAM) and others of Vela's",
        "optimise": "speed, or size for the least SRAM",
        "sram": "bytes of SRAM that Vela may use: its arena cache size, the cache where the SRAM is one; by default "
        "what the memory mode says",
    }

    def configuration(self, path: Path) -> Configuration:
        """The processor and its setting, by the file's metadata."""
        return self._configuration(path, self.read_metadata(path))

    def estimate(self, path: Path) -> Estimate:
        """What Vela says of the TOSA graph beside a file; see :func:`unskip.runtimes._vela.estimate`."""
        facts = self.read_metadata(path)
        return _vela.estimate(_graph(path, IntegerGraph.from_facts(facts, path)), self._configuration(path, facts))

    def _configuration(self, path: Path, facts: Mapping[str, str]) -> Configuration:
        if "target" not in facts or "setting" not in facts:
            raise UnskipError(f"{path} does not say for which device it was compiled, as files of `export` do")
        return self.configured(facts["target"], parse_json(facts["setting"], f"the setting of {path}"))

    def sram_bytes(self, configuration: Configuration) -> int | None:
        """See :meth:`Estimator.sram_bytes`; memory modes name sizes too."""
        mode = configuration.setting.get("memory_mode")
        return super().sram_bytes(configuration) or (None if mode is None else _vela.cache_bytes(mode))

    def meanings(self, configuration: Configuration) -> Mapping[str, str]:
        """See :meth:`Estimator.meanings`."""
        return _vela_names.meanings(configuration)

    def _complete(self, target: str, setting: Mapping[str, str]) -> Mapping[str, str]:
        family = target.rpartition("-")[0]
        system, memory = _DEFAULTS[family]
        number = family.removeprefix("ethos-").upper()
        systems = tuple(name for name in _vela.described("System_Config") if f"_{number}_" in name)
        system = known_word("system_config", setting.get("system_config", system), systems)
        memory = known_word("memory_mode", setting.get("memory_mode", memory), _vela.described("Memory_Mode"))
        fitting = _vela_names.modes_for(system)
        if memory not in fitting:
            raise UnskipError(
                f"`memory_mode` {memory} puts feature maps where {system} has flash; expected one of "
                f"{', '.join(fitting)}"
            )
        complete = {
            "system_config": system,
            "memory_mode": memory,
            "optimise": known_word("optimise", setting.get("optimise", "speed"), tuple(_vela.OPTIMISE)),
        }
        if SRAM in setting and _whole(setting[SRAM]) != _vela.cache_bytes(complete["memory_mode"]):
            complete[SRAM] = setting[SRAM]
        return complete

    def _load(self, path: Path, threads: int | None, device: str, depth: str | None) -> Program:
        depth_index(path, (), depth)
        facts = self._read_metadata(path)
        about = IntegerGraph.from_facts(facts, path)
        return _Integers(_graph(path, about), about, answers_in(facts))

    def _read_metadata(self, path: Path) -> Mapping[str, str]:
        return program_metadata(path, self)


def _whole(num_bytes: str) -> int:
    if not num_bytes.isdecimal() or not 0 < int(num_bytes) < 2**32:
        raise UnskipError(f"`sram` {num_bytes}: expected bytes that a device of 32 bits can address, such as 262144")
    return int(num_bytes)


def digest(graph: bytes) -> str:
    """By which a file knows the graph beside it."""
    return hashlib.sha256(graph).hexdigest()


def _graph(path: Path, about: IntegerGraph) -> bytes:
    """The graph that belongs to a file; `UnskipError` where it is not there, or another one is."""
    file = path.with_suffix(GRAPH_SUFFIX)
    if not file.is_file():
        raise UnskipError(f"no file {file}: the integers of {path} lie in it, and the two belong together")
    graph = file.read_bytes()
    if digest(graph) != about.digest:
        raise UnskipError(f"{file} is damaged, or belongs to another file than {path}")
    return graph


class _Integers(Program):
    """Computed in batches where every operation of the graph is known here, else by the reference model."""

    def __init__(self, graph: bytes, about: IntegerGraph, names: Any) -> None:
        from unskip.runtimes._tosa import Interpreter, UnknownOperationError

        self.names = names
        self._about = about
        self.batch_size = about.shape[0]
        self.input_shape = about.shape[1:]
        reference = _ReferenceModel(graph)
        try:
            self._run: Callable[[NDArray[np.int8]], Integers] = Interpreter(graph)
        except UnknownOperationError:
            self._run = reference
            return
        self.reference = copy(self)
        self.reference._run = reference

    def bound(self, images: Images) -> Callable[[], object]:
        return lambda: self.compute(images)

    def compute(self, images: Images) -> Outputs:
        return self._outputs(images)

    def _outputs(self, images: Images) -> Outputs:
        """Many batches at once: whatever fills up the last one is left out again."""
        about, count = self._about, len(images)
        missing = -count % about.shape[0]
        if missing:
            images = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])
        outputs = self._run(self._integers(images).reshape(-1, *about.shape))
        return [
            (each.reshape(len(images), *each.shape[2:]).astype(np.float32) - scale.zero)[:count]
            * np.float32(scale.scale)
            for each, scale in zip(outputs, about.outputs, strict=True)
        ]

    def _integers(self, images: Images) -> NDArray[np.int8]:
        """As the program in the file gives them to the processor: multiplied, not divided."""
        about = self._about
        if about.mean is not None and about.std is not None:
            mean, factor = (
                each.astype(np.float32).reshape(-1, 1, 1) for each in (np.array(about.mean), 1 / np.array(about.std))
            )
            images = (images - mean) * factor
        integers = np.rint(images * np.float32(1 / about.input.scale)) + about.input.zero
        return np.clip(integers, -128, 127).astype(np.int8)


class _ReferenceModel:
    """Arm's TOSA reference model, which runs a graph once for each batch."""

    def __init__(self, graph: bytes) -> None:
        self._graph = graph

    def __call__(self, batches: NDArray[np.int8]) -> Integers:
        return [np.stack(outputs) for outputs in zip(*map(self._run, batches), strict=True)]

    def _run(self, images: NDArray[np.int8]) -> Integers:
        import tosa_reference_model

        with quiet():
            outputs, status = tosa_reference_model.run(
                self._graph, [images], verbosity="LOW", initialize_variable_tensor_from_numpy=True
            )
        if status != tosa_reference_model.GraphStatus.TOSA_VALID:
            raise UnskipError(f"the TOSA reference model finds the graph {status.name.lower().replace('_', ' ')}")
        return list(outputs)
