"""A convolution with a large stride as two with small ones."""

import pytest
import torch
from torch import nn

from unskip.export.formats._strides import with_small_strides
from unskip.nets import make_net
from unskip.surgery import fold_batchnorm, with_lean_stem


@pytest.mark.parametrize("size", [(32, 32), (224, 96), (65, 33), (63, 50)])
@pytest.mark.parametrize(("kernel", "padding", "stride"), [(7, 3, 4), (8, 2, 4), ((5, 7), (2, 3), 4), (11, 5, 6)])
def test_two_convolutions_compute_the_same_or_nothing_is_replaced(size, kernel, padding, stride):
    net = nn.Sequential(nn.Conv2d(3, 5, kernel, stride, padding), nn.ReLU())
    images = torch.randn(2, 3, *size)
    changed = with_small_strides(net, (3, *size))
    with torch.no_grad():
        assert torch.allclose(changed(images), net(images), atol=1e-5)
    if changed is not net:
        assert max(max(each.stride) for each in changed.modules() if isinstance(each, nn.Conv2d)) <= 3


def test_a_lean_stem_is_replaced_and_the_network_stays():
    net = fold_batchnorm(with_lean_stem(make_net("resnet18", {"width": 4})).eval())
    images = torch.randn(2, 3, 224, 224)
    changed = with_small_strides(net, (3, 224, 224))
    assert max(each.stride[0] for each in net.modules() if isinstance(each, nn.Conv2d)) == 4
    assert max(each.stride[0] for each in changed.modules() if isinstance(each, nn.Conv2d)) == 2
    with torch.no_grad():
        assert torch.allclose(changed(images), net(images), rtol=1e-3, atol=1e-4)


def test_other_networks_are_left_as_they_are():
    net = make_net("resnet8", {"width": 4}).eval()
    assert with_small_strides(net, (3, 16, 16)) is net
