"""Arm Ethos-U: .pte programs for ExecuTorch on that processor; here, the integers run in Arm's TOSA reference model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from unskip.errors import UnskipError
from unskip.files import parse_json
from unskip.quiet import quiet
from unskip.records import Estimate
from unskip.runtimes import _vela
from unskip.runtimes._estimator import SRAM, Configuration, Estimator, known_word
from unskip.runtimes.base import Images, Outputs, Program, answers_in, depth_index
from unskip.runtimes.executorch import program_metadata

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

    ``mean`` and ``std``, by channel, are taken off before; None where images come normalised.
    """

    input: Scale
    outputs: tuple[Scale, ...]
    shape: tuple[int, int, int, int]
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
        "sram": "bytes of SRAM that Vela may use: its --arena-cache-size, the cache where the SRAM is one; by default "
        "what the memory mode says",
    }

    def configuration(self, path: Path) -> Configuration:
        """The processor and its setting, by the file's metadata."""
        facts = self.read_metadata(path)
        if "target" not in facts or "setting" not in facts:
            raise UnskipError(f"{path} does not say for which device it was compiled, as files of `export` do")
        return self.configured(facts["target"], parse_json(facts["setting"], f"the setting of {path}"))

    def estimate(self, path: Path) -> Estimate:
        """What Vela says of the TOSA graph beside a file; see :func:`unskip.runtimes._vela.estimate`."""
        return _vela.estimate(_graph_of(path).read_bytes(), self.configuration(path))

    def _complete(self, target: str, setting: Mapping[str, str]) -> Mapping[str, str]:
        self.require()
        family = target.rpartition("-")[0]
        system, memory = _DEFAULTS[family]
        number = family.removeprefix("ethos-").upper()
        systems = tuple(name for name in _vela.described("System_Config") if f"_{number}_" in name)
        return {
            "system_config": known_word("system_config", setting.get("system_config", system), systems),
            "memory_mode": known_word(
                "memory_mode", setting.get("memory_mode", memory), _vela.described("Memory_Mode")
            ),
            "optimise": known_word("optimise", setting.get("optimise", "speed"), tuple(_vela.OPTIMISE)),
            **({SRAM: _whole(setting[SRAM])} if SRAM in setting else {}),
        }

    def _load(self, path: Path, threads: int | None, device: str, depth: str | None) -> Program:
        depth_index(path, (), depth)
        facts = self._read_metadata(path)
        graph = _graph_of(path)
        return _Integers(graph.read_bytes(), IntegerGraph.from_facts(facts, path), answers_in(facts))

    def _read_metadata(self, path: Path) -> Mapping[str, str]:
        return program_metadata(path, self)


def _whole(num_bytes: str) -> str:
    if not num_bytes.isdecimal() or not 0 < int(num_bytes) < 2**32:
        raise UnskipError(f"`sram` {num_bytes}: expected bytes that a device of 32 bits can address, such as 262144")
    return num_bytes


def _graph_of(path: Path) -> Path:
    graph = path.with_suffix(GRAPH_SUFFIX)
    if not graph.is_file():
        raise UnskipError(f"no file {graph}: the integers of {path} lie in it, and the two belong together")
    return graph


class _Integers(Program):
    def __init__(self, graph: bytes, about: IntegerGraph, names: Any) -> None:
        self.names = names
        self._graph = graph
        self._about = about
        self.batch_size = about.shape[0]
        self.input_shape = about.shape[1:]

    def bound(self, images: Images) -> Callable[[], object]:
        return lambda: self.compute(images)

    def compute(self, images: Images) -> Outputs:
        import tosa_reference_model

        about = self._about
        if about.mean is not None and about.std is not None:
            mean, std = (np.asarray(each, np.float32).reshape(1, -1, 1, 1) for each in (about.mean, about.std))
            images = (images - mean) / std
        integers = np.clip(np.rint(images / np.float32(about.input.scale)) + about.input.zero, -128, 127)
        with quiet():
            outputs, status = tosa_reference_model.run(
                self._graph,
                [integers.astype(np.int8)],
                verbosity="LOW",
                initialize_variable_tensor_from_numpy=True,
            )
        if status != tosa_reference_model.GraphStatus.TOSA_VALID:
            raise UnskipError(f"the TOSA reference model finds the graph {status.name.lower().replace('_', ' ')}")
        return [
            ((each.astype(np.float32) - scale.zero) * np.float32(scale.scale)).reshape(about.shape[0], *each.shape[1:])
            for each, scale in zip(outputs, about.outputs, strict=True)
        ]
