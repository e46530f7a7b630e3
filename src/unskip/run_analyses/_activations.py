"""What networks compute on the way: the input of the classifier, and the inputs and outputs of blocks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from unskip.errors import UnskipError
from unskip.nets import StagedNet
from unskip.surgery import with_recalibrated_statistics

_BATCH = 128


def batches(images: Tensor, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Images, and what goes with them, in batches."""
    return zip(*(each.split(_BATCH) for each in (images, *tensors)), strict=True)


def with_own_statistics(net: StagedNet, images: Tensor) -> StagedNet:
    """A copy in eval mode whose BatchNorm has the statistics of images (images, channels, height, width)."""
    return with_recalibrated_statistics(net, images.split(_BATCH))


def classifier_of(net: StagedNet, name: str) -> nn.Linear:
    """The linear layer that gives the logits; `UnskipError`, which names the network, where the last layer is none."""
    layers = [module for module in net.modules() if next(module.parameters(recurse=False), None) is not None]
    last = layers[-1] if layers else None
    if not isinstance(last, nn.Linear):
        kind = "no layer" if last is None else f"a {type(last).__name__}"
        raise UnskipError(f"{name} has no linear classifier, its last layer is {kind}; leave it out with `nets`")
    return last


@torch.inference_mode()
def classifier_inputs(net: StagedNet, images: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """The input of the classifier (images, features), and the logits (images, classes), of a network in eval mode."""
    inputs_seen: list[Tensor] = []
    hook = classifier_of(net, name).register_forward_pre_hook(
        lambda _, inputs: inputs_seen.append(inputs[0].flatten(1))
    )
    try:
        logits = torch.cat([net(part) for (part,) in batches(images)])
    finally:
        hook.remove()
    return torch.cat(inputs_seen), logits


def blocks_of(net: StagedNet) -> dict[str, nn.Module]:
    """What stands in the stages and has weights, by place, in order: the blocks."""
    return {
        f"{stage}.{name}": block
        for stage in net.stage_names
        for name, block in net.get_submodule(stage).named_children()
        if next(block.parameters(), None) is not None
    }


@torch.inference_mode()
def block_maps(net: StagedNet, images: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """The input and the output of every block, each (images, channels * height * width), of a network in eval mode."""
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {}
    with _watched(blocks_of(net), seen):
        for (part,) in batches(images):
            net(part)
    return {place: (torch.cat(ins), torch.cat(outs)) for place, (ins, outs) in _transposed(seen)}


@contextmanager
def _watched(blocks: dict[str, nn.Module], values: dict[str, list[tuple[Tensor, Tensor]]]) -> Iterator[None]:
    def watch(place: str, block: nn.Module) -> Any:
        def keep(_: nn.Module, inputs: Any, output: Tensor) -> None:
            # Copies, since activations that work in place would overwrite what was read here.
            values.setdefault(place, []).append((before.pop().flatten(1), output.flatten(1).clone()))

        before: list[Tensor] = []
        return (
            block.register_forward_pre_hook(lambda _, inputs: before.append(inputs[0].clone())),
            block.register_forward_hook(keep),
        )

    hooks = [hook for place, block in blocks.items() for hook in watch(place, block)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _transposed(values: dict[str, list[tuple[Tensor, Tensor]]]) -> Iterator[tuple[str, Any]]:
    return ((place, zip(*pairs, strict=True)) for place, pairs in values.items())
