"""A stem that goes to the resolution of the first stage at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import nn
from torch.nn.modules.utils import _pair

from unskip.errors import UnskipError
from unskip.nets.depth import block_names
from unskip.nets.layers import conv_settings
from unskip.nets.staged_net import Residual, StagedNet
from unskip.surgery._chains import Place, chain
from unskip.surgery._edit import edit

Pool = nn.MaxPool2d | nn.AvgPool2d

_SIDES = range(32, 257)


@edit
def with_lean_stem(net: StagedNet) -> StagedNet:
    """A copy of a network whose stem has no pool: a convolution in front of it takes over its stride.

    Of a convolution with stride 2 and a pool with stride 2, as ResNets for ImageNet begin, one convolution with stride
    4 is left. The map between the two, the largest of a ResNet-18, is gone. In a stem of several convolutions, the
    first one from there on whose kernel is as wide as its stride becomes takes it, so that every pixel is still read:
    of three 3x3 the second, with stride 2. The weights are kept, as a start; the function is another one, meant to be
    trained.

    The padding is the one with which most square images of 32 to 256 pixels give a map as large as before: all of them
    for a 7x7 convolution padded by 3 and a pool of 2x2 or 3x3, and nothing but the stride changes in a ResNet.

    Raises `UnskipError` for a network without such a stem, as those for small images are.
    """
    places = _until_pool(net)
    index, stride = _takes_stride(places)
    places[index].replace(_best_padded([place.layer for place in places], index, stride))
    places[-1].remove()
    return net


def _until_pool(net: StagedNet) -> list[Place]:
    """The layers in front of the first block, up to the first pool with stride 2."""
    places = []
    for place in _in_front_of_blocks(net):
        places.append(place)
        if isinstance(place.layer, Pool) and _pair(place.layer.stride) == (2, 2):
            return places
        if next(place.layer.children(), None) is not None:
            break
    raise _no_pattern()


def _in_front_of_blocks(net: StagedNet) -> Iterator[Place]:
    for part_name, part in net.named_parts():
        if not isinstance(part, nn.Sequential):
            return
        is_stage = part_name in net.stage_names
        blocks = block_names(part) if is_stage else []
        for name, child in part._modules.items():
            if name in blocks or isinstance(child, Residual):
                return
            if isinstance(child, nn.Sequential):
                yield from chain(child)
            else:
                yield Place(part, name, name)
        if is_stage:
            return


def _takes_stride(places: Sequence[Place]) -> tuple[int, int]:
    """Which of the layers takes over the pool's stride, and the stride that it has then."""
    convs = [(index, layer) for index, place in enumerate(places) if isinstance(layer := place.layer, nn.Conv2d)]
    strided = [number for number, (_, conv) in enumerate(convs) if conv.stride != (1, 1)]
    if not strided or convs[strided[-1]][1].stride != (2, 2):
        raise _no_pattern()
    for index, conv in convs[strided[-1] :]:
        stride = 2 * conv.stride[0]
        if type(conv) is nn.Conv2d and min(conv.kernel_size) >= stride:
            return index, stride
    index, conv = convs[strided[-1]]
    raise UnskipError(
        f"with stride 4, the stem's {places[index].name} ({conv}) would not read every pixel; the pool behind it stays"
    )


def _no_pattern() -> UnskipError:
    return UnskipError(
        "in front of its blocks, this network has no convolution with stride 2 and behind it a pool "
        "with stride 2; networks for small images have none and need none"
    )


def _best_padded(layers: Sequence[nn.Module], index: int, stride: int) -> nn.Conv2d:
    """The convolution with another stride, padded so that most images give a map as large as that of the pool."""
    conv = layers[index]
    assert isinstance(conv, nn.Conv2d)
    sizes = _sizes(layers)
    high, wide = _padding(conv)

    def agreement(more: int) -> tuple[int, int]:
        """How many sizes agree with more padding; of those with equally many, the nearest to the usual padding."""
        made = _with_stride(conv, stride, (high + more, wide + more))
        found = _sizes([*layers[:index], made, *layers[index + 1 : -1]])
        return sum(one == other for one, other in zip(sizes, found, strict=True)), -abs(more)

    more = max(range(-min(high, wide), max(conv.kernel_size)), key=agreement)
    return _with_stride(conv, stride, (high + more, wide + more))


def _sizes(layers: Sequence[nn.Module]) -> list[tuple[int, int]]:
    """Height and width of what the layers make of square images of all usual sizes."""
    sizes = []
    for side in _SIDES:
        height = width = side
        for layer in layers:
            if isinstance(layer, nn.Conv2d | Pool):
                height, width = _side(layer, height, 0), _side(layer, width, 1)
        sizes.append((height, width))
    return sizes


def _side(layer: nn.Conv2d | Pool, side: int, axis: int) -> int:
    """The height (axis 0) or width (axis 1) that a convolution or pool gives, as torch computes it."""
    size, stride = _pair(layer.kernel_size)[axis], _pair(layer.stride)[axis]
    padding = _padding(layer)[axis]
    dilation = 1 if isinstance(layer, nn.AvgPool2d) else _pair(layer.dilation)[axis]
    room = side + 2 * padding - dilation * (size - 1) - 1
    if isinstance(layer, nn.Conv2d) or not layer.ceil_mode:
        return room // stride + 1
    made = -(-room // stride) + 1
    return made - 1 if (made - 1) * stride >= side + padding else made  # no window begins in the padding


def _with_stride(conv: nn.Conv2d, stride: int, padding: tuple[int, int]) -> nn.Conv2d:
    """The convolution with another stride and padding; it has the same parameters."""
    made = nn.Conv2d(**conv_settings(conv, stride=stride, padding=padding, device="meta"))
    made.weight, made.bias = conv.weight, conv.bias
    return made.train(conv.training)


def _padding(layer: nn.Conv2d | Pool) -> tuple[int, int]:
    padding = layer.padding
    if isinstance(padding, str):
        padding = tuple(size // 2 if padding == "same" else 0 for size in _pair(layer.kernel_size))
    high, wide = _pair(padding)
    return high, wide
