"""Convolutions with long strides, which Arm's Ethos-U does not take well, as convolutions that it does."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LONGEST = 3
"""The longest stride that the processors compute with; Vela cuts a convolution with a longer one into thousands."""


def without_long_strides(net: nn.Module) -> nn.Module:
    """The same function, convolutions with longer strides as :class:`InTwoSteps`, or as :class:`ByBlocks` if odd.

    The network itself if it has none.
    """
    if not any(map(_is_long, net.modules())):
        return net
    net = copy.deepcopy(net)
    for module in list(net.modules()):
        for name, child in module.named_children():
            if _is_long(child):
                assert isinstance(child, nn.Conv2d)
                setattr(module, name, _short(child))
    return net


def _short(conv: nn.Conv2d) -> nn.Module:
    if conv.stride[0] <= LONGEST:
        return conv
    with conv.weight.device:  # which may be that of networks without values
        return ByBlocks(conv) if conv.stride[0] % 2 else InTwoSteps(conv)


def _is_long(module: nn.Module) -> bool:
    return (
        isinstance(module, nn.Conv2d)
        and module.stride[0] == module.stride[1] > LONGEST
        and module.dilation == (1, 1)
        and module.groups == 1
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
        and module.padding[0] == module.padding[1]
        and module.kernel_size[0] == module.kernel_size[1]
    )


class InTwoSteps(nn.Module):
    """A convolution of an even stride as two: one of 2x2 with stride 2 that copies, and one with half the stride.

    The first copies the four pixels of a square into the channels of one; the second has half the kernel. A processor
    has both, and nothing is moved by itself: Vela 5.1.0 estimates for a 7x7 convolution of stride 4 from 3 to 64
    channels, 224 pixels, and a small net behind it, 1.57 million cycles on an Ethos-U65-256 and 0.93 on a U55-128, as
    :class:`ByBlocks` 2.20 and 1.62.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.kernel, self.stride, self.padding = conv.kernel_size[0], conv.stride[0], int(conv.padding[0])
        first = self.padding % 2 or min(self.padding, 2)  # what is left for the second is even, and no last row is lost
        channels, half = conv.in_channels, (self.kernel + 1) // 2
        self.copy = nn.Conv2d(channels, 4 * channels, 2, 2, first, bias=False)
        rest = (self.padding - first) // 2
        second = nn.Conv2d(4 * channels, conv.out_channels, half, self.stride // 2, rest, bias=conv.bias is not None)
        odd = self.kernel % 2
        kernel = F.pad(conv.weight.detach(), (0, odd, 0, odd)).reshape(-1, channels, half, 2, half, 2)
        with torch.no_grad():
            self.copy.weight.copy_(torch.eye(4 * channels).reshape(self.copy.weight.shape))
            second.weight.copy_(kernel.permute(0, 1, 3, 5, 2, 4).reshape(second.weight.shape))
            if conv.bias is not None and second.bias is not None:
                second.bias.copy_(conv.bias)
        self.copy.requires_grad_(False)
        self.conv = _short(second)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width) as the convolution takes it."""
        # The kernel, made even, reaches beyond the last row where the last window ends there.
        high, wide = (
            int(self.kernel % 2 and (side + 2 * self.padding - self.kernel) % self.stride == 0)
            for side in images.shape[2:]
        )
        if high or wide:
            images = F.pad(images, (0, wide, 0, high))
        result: Tensor = self.conv(self.copy(images))
        return result


class ByBlocks(nn.Module):
    """A convolution of stride s over pixels, as one of stride 1 over blocks of s x s pixels.

    The pixels of a block are its channels (`torch.nn.functional.pixel_unshuffle`), and the kernel, padded with zeros to
    whole blocks, is cut likewise.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.kernel, self.stride = conv.kernel_size[0], conv.stride[0]
        self.padding = int(conv.padding[0])
        self.before = -(-self.padding // self.stride)  # blocks of zeros in front of the image
        start = self.before * self.stride - self.padding  # where the first window starts in them
        self.width = -(-(start + self.kernel) // self.stride)  # blocks
        channels, stride, width = conv.in_channels, self.stride, self.width
        self.conv = nn.Conv2d(channels * stride**2, conv.out_channels, width, bias=conv.bias is not None)
        after = width * stride - start - self.kernel
        kernel = F.pad(conv.weight.detach(), (start, after, start, after))
        blocks = kernel.reshape(-1, channels, width, stride, width, stride).permute(0, 1, 3, 5, 2, 4)
        with torch.no_grad():
            self.conv.weight.copy_(blocks.reshape(self.conv.weight.shape))
            if conv.bias is not None and self.conv.bias is not None:
                self.conv.bias.copy_(conv.bias)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width) as the convolution takes it."""
        # What is behind the image is zeros too, and what no window reaches is left out.
        high, wide = (self._pixels(side) - side for side in images.shape[2:])
        blocks = F.pixel_unshuffle(F.pad(images, (0, wide, 0, high)), self.stride)
        result: Tensor = self.conv(F.pad(blocks, (self.before, 0, self.before, 0)))
        return result

    def _pixels(self, side: int) -> int:
        """How many rows or columns the windows reach, of whole blocks."""
        windows = (side + 2 * self.padding - self.kernel) // self.stride + 1
        return (windows - 1 + self.width - self.before) * self.stride
