"""Whether a network can learn at all: looked at once, before a training starts."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from unskip.errors import UnskipError
from unskip.methods.base import Phase
from unskip.nets import StagedNet
from unskip.nets.fading import fading_blocks
from unskip.surgery import tiny_scales, without_shortcuts
from unskip.tasks import Answers

_STEPS = 3  # a scale that starts at zero beside a shortcut lets its convolutions learn from the second step on
_ROUNDING = 1e-5  # of the largest number of an answer; float32 images that differ by less do not differ
_NO_GRADIENT = 1e-20  # a plain net of 110 layers has 5e-3 and more at its ends, LayerScale beside a shortcut 3e-9
_RANDOM_IMAGES = 8  # beside the data's, which may be one or all alike
_TOO_FEW_VALUES = ("more than 1 value per channel", "more than 1 spatial element")


def num_images_to_look_at(image_shape: tuple[int, int, int]) -> int:
    """How many images are worth the time: 32 small ones, fewer of large ones."""
    return max(4, min(32, 2**15 // (image_shape[1] * image_shape[2])))


def check_can_learn(net: StagedNet, images: Tensor) -> None:
    """Raise `UnskipError` where a network gives the same answers for every image, or weights of it get no gradient.

    images: (batch, channels, height, width). The network is not changed, nor is the state of any random generator.
    A copy of it runs in train mode, without dropout and its like, on these images and on noise, with random labels; it
    may take two steps of Adam before it is judged. The message names the first layer concerned.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        _check(net, images)


def first_obstacle(net: StagedNet) -> str | None:
    """The first scale of a network whose shortcuts can fade that would let next to nothing pass without them."""
    if not fading_blocks(net):
        return None
    return next(tiny_scales(without_shortcuts(net, only=list(fading_blocks(net)))), None)


def check_batch(phases: Sequence[Phase], images: Tensor) -> None:
    """Raise `UnskipError` where a batch is too small for a layer: for BatchNorm, one value per channel is.

    images: as many as one process gets in a step.
    """
    labels = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    with torch.random.fork_rng(), torch.no_grad():
        for phase in phases:
            objective = copy.deepcopy(phase.objective).train()
            with _told_apart(objective, images):
                objective(images, labels, 0.0)


def _check(net: StagedNet, images: Tensor) -> None:
    # Channels-first: in float32 and channels-last, oneDNN in torch 2.13 writes beyond its memory on CPUs with AVX2 and
    # no AVX-512, in the backward pass of 1x1 convolutions of 2 to 7 channels with a stride.
    twin = _without_chance(copy.deepcopy(net).to(memory_format=torch.contiguous_format))  # type: ignore[call-overload]
    weights = dict(_weights(twin))
    if not weights:
        return
    images = torch.cat([images, torch.randn(_RANDOM_IMAGES, *images.shape[1:]).to(images)]).contiguous()
    optimizer = torch.optim.Adam(twin.parameters(), lr=1e-2)
    silent, depends = set(weights), False
    for _ in range(_STEPS):
        with _told_apart(twin, images):
            numbers = _numbers(twin(images))
        if not bool(torch.isfinite(numbers).all()):
            return  # the training says so itself, and what to do
        depends = depends or _differs(numbers)
        if numbers.requires_grad:
            optimizer.zero_grad()
            F.cross_entropy(numbers, torch.randint(numbers.shape[1], (len(numbers),)).to(numbers.device)).backward()
            silent -= _with_gradient(weights)
            optimizer.step()
        if depends and not silent:
            return
    if not depends:
        raise UnskipError(_same_answers(net, images))
    # What the forward never reads has no gradient at all, and learns nothing on purpose.
    silent = {name for name in silent if weights[name].grad is not None}
    if silent:
        raise UnskipError(_no_gradient(net, [name for name in weights if name in silent], len(weights)))


def _numbers(answers: Answers) -> Tensor:
    """(batch, all numbers that a network gives for an image), float32, whatever structure of tensors it returns."""
    tensors = [each for each in tree_leaves(answers) if isinstance(each, Tensor) and each.is_floating_point()]
    return torch.cat([tensor.float().flatten(1) for tensor in tensors], dim=1)


def _without_chance(net: StagedNet) -> StagedNet:
    """A network in train mode in which what has no tensors, such as dropout, does what it does in eval mode."""
    net.train()
    for module in net.modules():
        if not any(True for _ in module.children()) and not module.state_dict():
            module.eval()
    return net


def _weights(net: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The kernels that are trained, by name.

    Vectors do not count: a bias in front of a BatchNorm has no gradient, and a gamma has one where its kernel has.
    """
    for name, parameter in net.named_parameters():
        if parameter.requires_grad and parameter.dim() > 1 and parameter.numel() > max(parameter.shape):
            yield name, parameter


def _differs(output: Tensor) -> bool:
    """Whether what a batch of images gives differs from image to image by more than rounding."""
    spread = (output.amax(dim=0) - output.amin(dim=0)).max()
    return bool(spread > _ROUNDING * output.abs().max())


def _with_gradient(weights: dict[str, nn.Parameter]) -> set[str]:
    return {
        name
        for name, weight in weights.items()
        if weight.grad is not None and bool(weight.grad.abs().max() > _NO_GRADIENT)
    }


def _same_answers(net: StagedNet, images: Tensor) -> str:
    tiny = list(tiny_scales(net))
    start = "the network cannot learn: it gives the same answers for every image"
    if tiny:
        return (
            f"{start}, since next to nothing passes {tiny[0]}, whose numbers are all at most 0.001 "
            f"({_and_more(tiny)}a start that is meant for blocks with a shortcut). Start from fresh weights, which "
            "`build` makes for the plain network (in a recipe `student.init=fresh`), train longer what has these, or "
            "keep the shortcuts of these blocks"
        )
    return (
        f"{start}; the first layer behind which they no longer differ is {_first_constant(net, images)}. Give it "
        "another initialisation, or a normalisation in front of it"
    )


def _no_gradient(net: StagedNet, silent: Sequence[str], count: int) -> str:
    tiny = list(tiny_scales(net))
    cause = f"next to nothing passes {tiny[0]}" if tiny else "what multiplies its output may be zero"
    return (
        f"the network cannot learn: {len(silent)} of its {count} weights get no gradient, {silent[0]} is the first; "
        f"{cause}. Give the layers behind it another initialisation, or leave the weights out of the training with "
        "requires_grad_(False)"
    )


def _and_more(names: Sequence[str]) -> str:
    return f"and {len(names) - 1} more; " if len(names) > 1 else ""


def _first_constant(net: StagedNet, images: Tensor) -> str:
    """The first layer, in the order in which they run, that gives the same for all images."""
    twin = _without_chance(copy.deepcopy(net))
    constant_layers: list[str] = []

    def note(name: str, output: Any) -> None:
        if isinstance(output, Tensor) and len(output) == len(images) and not _differs(output.float()):
            constant_layers.append(name)

    for name, module in twin.named_modules():
        if name:
            module.register_forward_hook(lambda _, __, output, name=name: note(name, output))
    with torch.no_grad():
        twin(images)
    return constant_layers[0] if constant_layers else list(twin.part_names)[-1]


@contextmanager
def _told_apart(module: nn.Module, images: Tensor) -> Iterator[None]:
    """Turn torch's error about too few values into one that says of what, and what to do."""
    running: list[str] = []
    hooks = [
        each.register_forward_pre_hook(lambda _, __, name=name: running.append(name))
        for name, each in module.named_modules()
    ]
    try:
        yield
    except ValueError as error:
        if isinstance(error, UnskipError) or not any(words in str(error) for words in _TOO_FEW_VALUES):
            raise
        count, _, height, width = images.shape
        raise UnskipError(
            f"{count} image{'s' if count > 1 else ''} of {height}x{width} pixels in a batch are too few for this "
            f"network: {running[-1]} gets one value per channel and has nothing to normalise; raise "
            "`training.batch_size` (per process) or `data.image_size`"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
