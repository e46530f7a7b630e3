"""Arm Ethos-U: ExecuTorch programs that Vela compiled for one of these processors, in 8 bits."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unskip.errors import UnskipError
from unskip.export.formats._exact import exact
from unskip.export.formats._pt2e import calibrated, of_batch
from unskip.export.formats._strides import without_long_strides
from unskip.export.formats.base import Conversion, Format
from unskip.records import Estimate
from unskip.runtimes import Configuration, _vela
from unskip.runtimes.ethos_u import GRAPH_SUFFIX, IntegerGraph, Scale, digest
from unskip.runtimes.executorch import METADATA

_SCALING = ("quantize_per_tensor.default", "dequantize_per_tensor.default")
_AROUND = (*_SCALING, "executorch_call_delegate", "getitem")
_NORMALIZING = ("aten.sub.Tensor", "aten.mul.Tensor")


class EthosU(Format):
    """Weights symmetric by output channel, feature maps asymmetric by tensor, by ExecuTorch's quantiser for Ethos-U.

    A program is for one processor in one configuration; its name ends in the processor's. The TOSA graph of its
    integers, which belongs to it, lies beside it. Images are scaled to integers, and normalised where the file does
    that, before the processor gets them. Networks with operations that it does not run are refused.
    """

    order = 6
    runtime_name = "ethos_u"
    free_batch = False
    float32 = False
    int8 = True
    qat = True

    def files(self, path: Path) -> list[Path]:
        """The TOSA graph too."""
        return [path.with_suffix(GRAPH_SUFFIX), path]

    def deployed(self, path: Path) -> list[Path]:
        """The program alone; the graph is for the reference model and for Vela's estimates."""
        return [path]

    def suited(self, net: nn.Module) -> nn.Module:
        """Without convolutions of long strides: see :func:`without_long_strides`."""
        return without_long_strides(net)

    def write(self, conversion: Conversion, path: Path) -> nn.Module:
        """See :meth:`Format.write`."""
        from executorch.backends.arm.ethosu import EthosUPartitioner
        from executorch.exir import EdgeProgramManager, to_edge_transform_and_lower

        device = conversion.device
        assert device is not None
        quantized = calibrated(conversion, self.quantizer(conversion, qat=False))
        program = of_batch(quantized, conversion)
        spec = _compile_spec(device)
        folder = path.parent / "vela"
        folder.mkdir()
        spec.dump_intermediate_artifacts_to(str(folder))
        edge = to_edge_transform_and_lower(program, partitioner=[EthosUPartitioner(spec)])
        _refuse_fallback(edge.exported_program(), conversion)
        graph = (folder / "out.tosa").read_bytes()
        facts = {
            **conversion.facts,
            "target": device.target,
            "setting": json.dumps(dict(device.setting)),
            "integers": _integers(program, conversion, graph).to_json(),
        }
        complete = EdgeProgramManager(edge.exported_program(), {METADATA: json.dumps(facts)}, edge.compile_config)
        path.write_bytes(complete.to_executorch().buffer)
        path.with_suffix(GRAPH_SUFFIX).write_bytes(graph)
        return exact(quantized)

    def estimate(self, conversion: Conversion) -> Estimate:
        """See :meth:`Format.estimate`; nothing is compiled for ExecuTorch."""
        assert conversion.device is not None
        return _vela.estimate(tosa_graph(conversion), conversion.device)

    def weight_steps(self, weight: Tensor) -> Tensor:
        """None is finer than the least of Arm's quantiser; see :meth:`Format.weight_steps`."""
        return super().weight_steps(weight).clamp_min(2**-16)

    def quantizer(self, conversion: Conversion, *, qat: bool) -> Any:
        """Arm's; the normalisation stays in float32, in front of the processor."""
        from executorch.backends.arm.quantizer import EthosUQuantizer, get_symmetric_quantization_config

        assert conversion.device is not None
        quantizer = EthosUQuantizer(_compile_spec(conversion.device))
        quantizer.set_global(get_symmetric_quantization_config(is_qat=qat))
        if conversion.normalization is not None:
            quantizer.set_module_name("normalize", None)
            annotate = quantizer.annotate
            quantizer.annotate = lambda model: _images_in_float32(annotate(model))
        return quantizer


def _images_in_float32(model: torch.fx.GraphModule) -> torch.fx.GraphModule:
    """Without what Arm's quantiser says of images that are normalised: it would round them twice."""
    node = next(node for node in model.graph.nodes if node.op == "placeholder")
    for _ in ("images", *_NORMALIZING):
        node.meta.pop("quantization_annotation", None)
        node = next(iter(node.users))
    return model


def tosa_graph(conversion: Conversion) -> bytes:
    """The graph that Vela is given, without asking Vela: what its estimate needs.

    Raises `UnskipError` for a network with operations that the processor does not run.
    """
    from executorch.backends.arm.tosa.compile_spec import TosaCompileSpec
    from executorch.backends.arm.tosa.partitioner import TOSAPartitioner
    from executorch.exir import to_edge_transform_and_lower

    device = conversion.device
    assert device is not None
    program = of_batch(calibrated(conversion, EthosU().quantizer(conversion, qat=False)), conversion)
    partitioner = TOSAPartitioner(TosaCompileSpec(_compile_spec(device).tosa_spec))
    edge = to_edge_transform_and_lower(program, partitioner=[partitioner]).exported_program()
    _refuse_fallback(edge, conversion)
    (graph,) = (module.processed_bytes for module in _delegates(edge))
    return bytes(graph)


def _compile_spec(device: Configuration) -> Any:
    from executorch.backends.arm.ethosu import EthosUCompileSpec

    return EthosUCompileSpec(
        device.target,
        system_config=device.setting["system_config"],
        memory_mode=device.setting["memory_mode"],
        extra_flags=_vela.flags(device),
    )


def _integers(program: torch.export.ExportedProgram, conversion: Conversion, graph: bytes) -> IntegerGraph:
    """What surrounds a quantised program's integers."""
    nodes = list(program.graph.nodes)
    first = next((node for node in nodes if str(node.target).endswith(_SCALING[0])), None)
    last = [node for node in nodes[-1].args[0] if str(node.target).endswith(_SCALING[1])]
    if first is None or len(last) != len(nodes[-1].args[0]):
        raise UnskipError("its answers are no integers")
    mean, std = conversion.normalization or (None, None)
    return IntegerGraph(
        input=Scale(*first.args[1:3]),
        outputs=tuple(Scale(*node.args[1:3]) for node in last),
        shape=(conversion.batch_size or 1, *conversion.input_shape),
        digest=digest(graph),
        mean=None if mean is None else tuple(mean),
        std=None if std is None else tuple(std),
    )


def _delegates(edge: torch.export.ExportedProgram) -> list[Any]:
    return [module for module in edge.graph_module.modules() if hasattr(module, "processed_bytes")]


def _refuse_fallback(edge: torch.export.ExportedProgram, conversion: Conversion) -> None:
    """Raise `UnskipError`, which names them, for operations that are left to the device's processor.

    It may scale images, and normalise them, but nothing else.
    """
    assert conversion.device is not None
    outside = Counter(_operations(edge.graph_module))
    if conversion.normalization is not None:
        outside -= Counter(_NORMALIZING)
    delegates = _delegates(edge)
    if outside or len(delegates) != 1:
        inside = sum(len(_operations(delegate.original_module.graph_module)) for delegate in delegates)
        count = outside.total()
        named = ", ".join(f"{name} ({times}x)" if times > 1 else name for name, times in outside.items())
        hint = "; or leave out `batch_size`: it runs some for one image only" if conversion.batch_size != 1 else ""
        raise UnskipError(
            f"{count} of its {inside + count} operations do not run on the {conversion.device.target}: {named}{hint}"
        )


def _operations(module: torch.fx.GraphModule) -> list[str]:
    """Names of what a program computes, what scales numbers or calls a delegate aside."""
    names = [node.target.__name__ for node in module.graph.nodes if node.op == "call_function"]
    return [name for name in names if not name.endswith(_AROUND)]
