"""Channels that only go together, as Torch-Pruning finds them, and what is left without the least of them."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from unskip.answers import named_answers, tensors_in
from unskip.errors import UnskipError, first_line, nearest
from unskip.nets.cheap_shapes import CheapShapes
from unskip.nets.dirac import DiracConv2d
from unskip.nets.fading import FadingResidual
from unskip.nets.shapes import copied_once, fitting_image, on_one_image
from unskip.nets.staged_net import StagedNet


def can_prune() -> bool:
    """Whether Torch-Pruning is installed."""
    return find_spec("torch_pruning") is not None


def pruned(net: StagedNet, ratio: float, round_to: int, keep: Sequence[str]) -> StagedNet | None:
    """The network, which may be changed, without a share of the channels of each layer; None where no layer loses any.

    Where channels that shortcuts couple cannot go, since one pads or reshapes them by fixed numbers, those stay.
    ``keep`` names layers, blocks, stages or parts whose channels stay. Raises `UnskipError` without Torch-Pruning, for
    a name that fits no layer, and for a network that cannot be pruned.
    """
    if not can_prune():
        raise UnskipError("it needs Torch-Pruning: pip install 'unskip[prune]'")
    _check_prunable(net)
    _check_names(net, keep)
    with copied_once():
        shape = fitting_image(net)
        answers = _shapes_of_answers(net, shape)
    refused: UnskipError | None = None
    for coupled in (True, False):
        student = copy.deepcopy(net)
        try:
            if not _Pruning(student, shape, keep, coupled).prune(ratio, round_to):
                continue
            answers_left = _shapes_of_answers(student, shape)
        except UnskipError as error:
            refused = refused or error
            continue
        except (RuntimeError, ValueError) as error:
            refused = refused or UnskipError(
                f"without the channels, the network does not run any more ({first_line(error)}); name in `keep` the "
                "layers, blocks or stages that must keep theirs"
            )
            continue
        assert answers_left == answers, "what the network answers has kept its channels"
        return student
    if refused is not None:
        raise refused
    return None


class _Pruning:
    """Takes channels out of a network, in place; without ``coupled``, no layer's that others must share."""

    def __init__(self, net: StagedNet, shape: tuple[int, int, int], keep: Sequence[str], coupled: bool) -> None:
        self._net = net
        self._shape = shape
        self._coupled = coupled
        self._kept = [layer for place, layer in _layers(net).items() if _named(place, keep)]

    def prune(self, ratio: float, round_to: int) -> bool:
        """Take a share of the channels of each group out of the network; False where none loses any."""
        net = self._net
        gradients = {name: parameter.requires_grad for name, parameter in net.named_parameters()}
        modes = {module: module.training for module in net.modules()}
        try:
            with torch.enable_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of parameters outside of torch's layers, of which the channels go too
                net.requires_grad_()
                return self._prune(ratio, round_to)
        except UnskipError:
            raise
        except Exception as error:  # whatever it and networks of others raise
            raise UnskipError(f"Torch-Pruning cannot take this network apart: {first_line(error)}") from error
        finally:
            for module, training in modes.items():
                module.training = training
            for name, parameter in net.named_parameters():
                parameter.requires_grad_(gradients[name])

    def _prune(self, ratio: float, round_to: int) -> bool:
        from torch_pruning import DependencyGraph

        weight = next(self._net.parameters())
        image = torch.zeros(1, *self._shape, device=weight.device, dtype=weight.dtype)
        graph = DependencyGraph()
        with CheapShapes():
            graph.build_dependency(self._net, image, output_transform=_ending_in_operations)
        self._check_reached(graph)
        with torch.device("cpu"), CheapShapes():  # of its indices, where networks are made on the meta device
            groups = [group for group in graph.get_all_groups(self._kept) if self._may_shrink(graph, group)]
            gone = [(group, _least(graph, group, ratio, round_to)) for group in groups]
            for group, channels in gone:
                root = group[0].dep
                graph.get_pruning_group(root.target.module, root.handler, channels).prune()
        return any(channels for _, channels in gone)

    def _may_shrink(self, graph: Any, group: Any) -> bool:
        from torch_pruning.ops import OPTYPE

        writers = [
            dep for dep, _ in group if _is_dense(dep.target.module) and graph.is_out_channel_pruning_fn(dep.handler)
        ]
        return (self._coupled or len(writers) == 1) and all(dep.target.type != OPTYPE.OUTPUT for dep, _ in group)

    def _check_reached(self, graph: Any) -> None:
        """Refuse layers that one image does not run through: nobody knows which channels they would lose."""
        for place, module in self._net.named_modules():
            if isinstance(module, _ConvNd | nn.Linear | _BatchNorm) and module not in graph.module2node:
                raise UnskipError(
                    f"{place} ({type(module).__name__}) is none of the layers that an image runs through one by one; "
                    "prune before the edit that brings it"
                )


def _check_prunable(net: StagedNet) -> None:
    for place, module in net.named_modules():
        if isinstance(module, DiracConv2d):
            raise UnskipError(f"{place} is a Dirac convolution; prune first, then make it Dirac")
        if isinstance(module, FadingResidual):  # what ships has no shortcuts: it must have the same widths
            raise UnskipError(f"the shortcut of {place} fades; prune first, then let shortcuts fade")


def _shapes_of_answers(net: StagedNet, shape: tuple[int, int, int]) -> dict[str, tuple[int, ...]]:
    def shapes(twin: nn.Module, image: Tensor) -> dict[str, tuple[int, ...]]:
        return {name: tuple(tensor.shape) for name, tensor in named_answers(twin(image)).items()}

    return on_one_image(net, shape, shapes)


def num_left(channels: int, ratio: float, round_to: int) -> int:
    """How many of so many channels stay: a multiple of ``round_to``, at least one of them; all where there are fewer.

    A half is rounded up.
    """
    return min(channels, round_to * max(1, math.floor(channels * (1 - ratio) / round_to + 0.5 + 1e-9)))


def _least(graph: Any, group: Any, ratio: float, round_to: int) -> list[int]:
    """The channels of a group's first layer that go: the same number in each of its parts."""
    parts = _num_parts(graph, group)
    size = graph.get_out_channels(group[0].dep.target.module) // parts
    count = size - num_left(size, ratio, round_to // math.gcd(round_to, parts))
    order = _importance(group, size * parts).view(parts, size).sum(0).argsort(stable=True)
    return [part * size + index for part in range(parts) for index in order[:count].tolist()]


def _importance(group: Any, channels: int) -> Tensor:
    """The magnitude of each channel, (channels,), on the CPU; on the meta device there are none, and all are alike."""
    from torch_pruning.pruner.importance import GroupMagnitudeImportance

    if group[0].dep.target.module.weight.is_meta:
        return torch.zeros(channels, device="cpu")
    importance = GroupMagnitudeImportance()(group)
    assert isinstance(importance, Tensor)
    return importance.float().cpu()


def _num_parts(graph: Any, group: Any) -> int:
    """How many equal parts the channels of a group have, of grouped convolutions and normalisations."""
    parts = [1]
    for dep, _ in group:
        module = dep.target.module
        if isinstance(module, _ConvNd) and _is_depthwise(module):
            continue
        pruner = graph.get_pruner_of_module(module)
        is_output = graph.is_out_channel_pruning_fn(dep.handler)
        parts.append(pruner.get_out_channel_groups(module) if is_output else pruner.get_in_channel_groups(module))
    return math.lcm(*parts)


def _is_dense(module: nn.Module) -> bool:
    """Whether a layer chooses its channels itself; a depthwise convolution has those that it reads."""
    return isinstance(module, nn.Linear) or (isinstance(module, _ConvNd) and not _is_depthwise(module))


def _is_depthwise(conv: _ConvNd) -> bool:
    return conv.groups == conv.out_channels > 1


def _ending_in_operations(answers: Any) -> list[Tensor]:
    """The tensors of an answer, each behind an operation: else its last layer is not seen to write an answer."""
    return [tensor * 1 for tensor in tensors_in(answers)]


def _layers(net: StagedNet) -> dict[str, nn.Module]:
    """The convolutions and linear layers, by place."""
    return {place: module for place, module in net.named_modules() if isinstance(module, _ConvNd | nn.Linear)}


def _named(place: str, names: Sequence[str]) -> bool:
    return any(f"{place}.".startswith(f"{name}.") for name in names)


def _check_names(net: StagedNet, names: Sequence[str]) -> None:
    layers = _layers(net)
    for name in names:
        if not any(_named(place, [name]) for place in layers):
            known = [*net.part_names, *layers]
            raise UnskipError(f"keep: no layer {name!r}{nearest(name, known) or '.'} Name layers, blocks or stages")
