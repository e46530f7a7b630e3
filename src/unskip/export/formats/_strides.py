"""Convolutions with long strides, which Arm's Ethos-U does not take well, as convolutions that it does."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LONGEST = 3
"""The longest stride that the processors compute with; Vela cuts a convolution with a longer one into thousands."""


def without_long_strides(net: nn.Module) -> nn.Module:
    """The same function, convolutions with longer strides as :class:`ByBlocks`; the network itself if it has none."""
    if not any(map(_is_long, net.modules())):
        return net
    net = copy.deepcopy(net)
    for module in list(net.modules()):
        for name, child in module.named_children():
            if _is_long(child):
                assert isinstance(child, nn.Conv2d)
                setattr(module, name, ByBlocks(child))
    return net


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
