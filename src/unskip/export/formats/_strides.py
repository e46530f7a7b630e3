"""Convolutions with large strides as two with small ones, which neural processors have."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

Pair = tuple[int, int]


def with_small_strides(net: nn.Module, input_shape: tuple[int, int, int]) -> nn.Module:
    """The network with padded convolutions of stride 4 or 6 as two that compute the same, for images of that shape.

    ExecuTorch 1.5.1 leaves a padded convolution with a stride above 3 to the CPU, and Vela 5.1.0 computes every place
    of one without padding by itself. The first of the two, 2x2 with stride 2, copies four pixels into the channels of
    one; the second has half the kernel and half the stride. The network itself where nothing is replaced.
    """
    sizes = _input_sizes(net, input_shape)
    large = {name: size for name, size in sizes.items() if _keeps_its_size(_convolution(net, name), size)}
    if not large:
        return net
    changed = copy.deepcopy(net)
    for name in large:
        parent, _, own = name.rpartition(".")
        setattr(changed.get_submodule(parent), own, _in_two(_convolution(changed, name)))
    return changed


def _input_sizes(net: nn.Module, input_shape: tuple[int, int, int]) -> dict[str, Pair]:
    """The height and width of what each convolution reads that may be replaced, by its name."""
    sizes: dict[str, Pair] = {}

    def noted(name: str) -> Any:
        def note(module: nn.Module, given: tuple[Tensor, ...]) -> None:
            sizes[name] = (given[0].shape[-2], given[0].shape[-1])

        return note

    hooks = [each.register_forward_pre_hook(noted(name)) for name, each in net.named_modules() if _is_large(each)]
    if hooks:
        with torch.no_grad():
            net(torch.zeros(1, *input_shape, device=next(net.parameters()).device))
    for hook in hooks:
        hook.remove()
    return sizes


def _convolution(net: nn.Module, name: str) -> nn.Conv2d:
    module = net.get_submodule(name)
    assert isinstance(module, nn.Conv2d)
    return module


def _is_large(module: nn.Module) -> bool:
    return (
        isinstance(module, nn.Conv2d)
        and module.stride in ((4, 4), (6, 6))
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
        and min(module.padding) > 0
        and (module.groups, *module.dilation) == (1, 1, 1)
    )


def _padding(convolution: nn.Conv2d) -> tuple[Pair, Pair]:
    """That of the first convolution, as little as leaves an even rest and loses no last row, and that of the second."""
    assert not isinstance(convolution.padding, str)
    height, width = convolution.padding
    first = (height % 2 or 2, width % 2 or 2)
    return first, ((height - first[0]) // 2, (width - first[1]) // 2)


def _keeps_its_size(convolution: nn.Conv2d, size: Pair) -> bool:
    """Whether two convolutions give a map as large: the kernel, made even, may reach beyond the last row."""
    stride = convolution.stride[0]
    assert not isinstance(convolution.padding, str)
    sides = zip(size, convolution.kernel_size, convolution.padding, *_padding(convolution), strict=True)
    return all(
        (side + 2 * padding - kernel) // stride
        == ((side + 2 * first) // 2 + 2 * second - (kernel + 1) // 2) // (stride // 2)
        for side, kernel, padding, first, second in sides
    )


def _in_two(convolution: nn.Conv2d) -> nn.Sequential:
    channels, outputs = convolution.in_channels, convolution.out_channels
    (height, width), kernel = convolution.kernel_size, tuple((side + 1) // 2 for side in convolution.kernel_size)
    first, second = _padding(convolution)
    weight, bias = convolution.weight.detach(), convolution.bias
    like: dict[str, Any] = {"device": weight.device, "dtype": weight.dtype}
    gather = nn.Conv2d(channels, 4 * channels, 2, 2, first, bias=False, **like)
    gather.weight = nn.Parameter(torch.eye(4 * channels, **like).reshape(-1, channels, 2, 2), requires_grad=False)
    smaller = nn.Conv2d(
        4 * channels, outputs, (kernel[0], kernel[1]), convolution.stride[0] // 2, second, bias=bias is not None, **like
    )
    whole = torch.zeros(outputs, channels, 2 * kernel[0], 2 * kernel[1], **like)
    whole[..., :height, :width] = weight
    parts = whole.reshape(outputs, channels, kernel[0], 2, kernel[1], 2).permute(0, 1, 3, 5, 2, 4)
    smaller.weight = nn.Parameter(parts.reshape(outputs, 4 * channels, *kernel))
    if bias is not None:
        smaller.bias = nn.Parameter(bias.detach().clone())
    return nn.Sequential(gather, smaller).train(convolution.training)
