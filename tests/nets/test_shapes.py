"""BatchNorm without values: the shape that PyTorch itself finds."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from unskip.nets.shapes import CheapBatchNorm, on_one_image


@pytest.mark.parametrize(
    ("layer", "shape"), [(nn.BatchNorm1d, (2, 4)), (nn.BatchNorm1d, (2, 4, 5)), (nn.BatchNorm2d, (2, 4, 5, 6))]
)
@pytest.mark.parametrize("affine", [True, False])
def test_it_gives_what_pytorch_gives(layer, shape, affine):
    norm, maps = layer(4, affine=affine, device="meta").eval(), torch.empty(shape, device="meta")
    if len(shape) == 4:
        maps = maps.contiguous(memory_format=torch.channels_last)
    expected = norm(maps)
    with CheapBatchNorm():
        found = norm(maps)
    assert (found.shape, found.dtype, found.stride()) == (expected.shape, expected.dtype, expected.stride())


def test_what_does_not_fit_is_refused_as_ever():
    norm = nn.BatchNorm2d(4, device="meta").eval()
    with CheapBatchNorm(), pytest.raises(RuntimeError, match="running_mean should contain 5 elements"):
        norm(torch.empty(2, 5, 6, 6, device="meta"))


@pytest.mark.parametrize("training", [True, False])
def test_values_are_computed_as_ever(training):
    norm, again = (nn.BatchNorm2d(4).train(training) for _ in range(2))
    maps = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    expected = norm(maps)
    with CheapBatchNorm():
        assert torch.equal(again(maps), expected)
    assert torch.equal(again.running_var, norm.running_var)


def test_operators_are_still_counted():
    net, rule = (
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)),
        torch.ops.aten._native_batch_norm_legit_no_training,
    )

    def run(twin, images):
        with FlopCounterMode(display=False, custom_mapping={rule: lambda x, *rest, out_shape: 7}) as counter:
            twin(images)
        return counter.get_flop_counts()["Global"]

    assert on_one_image(net, (3, 8, 8), run)[rule] == 7
