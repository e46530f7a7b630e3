import pytest
import torch
from torch import nn

from unskip.export.formats._strides import ByBlocks, InTwoSteps, without_long_strides


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [(7, 4, 3), (4, 4, 0), (5, 4, 2), (11, 4, 2), (9, 5, 0), (8, 4, 6), (13, 6, 6), (16, 8, 4)],
)
@pytest.mark.parametrize("side", [(32, 32), (33, 46), (31, 64)])
def test_the_same_function(kernel, stride, padding, bias, side):
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 6, kernel, stride, padding, bias=bias).double()
    images = torch.randn(2, 3, *side, dtype=torch.float64)
    expected = conv(images)
    blocks = without_long_strides(nn.Sequential(conv)).double()
    assert isinstance(blocks[0], ByBlocks if stride % 2 else InTwoSteps)
    torch.testing.assert_close(blocks(images), expected)
    assert max(module.stride[0] for module in blocks.modules() if isinstance(module, nn.Conv2d)) <= 3


def test_what_has_no_long_strides_is_left_alone():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 3), nn.Conv2d(4, 8, 4, 4, groups=2), nn.Conv2d(8, 8, 4, 4, padding="valid"))
    assert without_long_strides(net) is net
    net.append(nn.Conv2d(8, 8, 4, 4))
    other = without_long_strides(net)
    assert isinstance(net[3], nn.Conv2d)
    assert isinstance(other[3], InTwoSteps)
    assert isinstance(other[1], nn.Conv2d)
