"""Shapes without values: those that PyTorch itself finds."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from unskip.nets.cheap_shapes import CheapShapes
from unskip.nets.shapes import on_one_image


@pytest.mark.parametrize(
    ("layer", "shape"), [(nn.BatchNorm1d, (2, 4)), (nn.BatchNorm1d, (2, 4, 5)), (nn.BatchNorm2d, (2, 4, 5, 6))]
)
@pytest.mark.parametrize("affine", [True, False])
def test_it_gives_what_pytorch_gives(layer, shape, affine):
    norm, maps = layer(4, affine=affine, device="meta").eval(), torch.empty(shape, device="meta")
    if len(shape) == 4:
        maps = maps.contiguous(memory_format=torch.channels_last)
    expected = norm(maps)
    with CheapShapes():
        result = norm(maps)
    assert (result.shape, result.dtype, result.stride()) == (
        expected.shape,
        expected.dtype,
        expected.stride(),
    )


def test_what_does_not_fit_is_refused_as_ever():
    norm = nn.BatchNorm2d(4, device="meta").eval()
    with CheapShapes(), pytest.raises(RuntimeError, match="running_mean should contain 5 elements"):
        norm(torch.empty(2, 5, 6, 6, device="meta"))


@pytest.mark.parametrize("training", [True, False])
def test_values_are_computed_as_ever(training):
    norm, again = (nn.BatchNorm2d(4).train(training) for _ in range(2))
    maps = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    expected = norm(maps)
    with CheapShapes():
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


def outcome_of(run: Any) -> Any:
    """What a computation gives, without values, as far as it can be compared; or that it is refused."""
    try:
        result = run()
    except (RuntimeError, IndexError):
        return "refused"
    tensors = result if isinstance(result, tuple) else (result,)
    return [(each.shape, each.dtype, each.stride(), each.device.type) for each in tensors]


def maps_of(data: st.DataObject, channels: int) -> Tensor:
    shape = (data.draw(st.integers(1, 3)), channels, data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12)))
    maps = torch.empty(shape, device="meta", dtype=data.draw(st.sampled_from([torch.float32, torch.bfloat16])))
    return maps.to(memory_format=data.draw(st.sampled_from([torch.contiguous_format, torch.channels_last])))


PAIRS = st.tuples(st.integers(1, 4), st.integers(1, 4))
EDGES = st.tuples(st.integers(0, 3), st.integers(0, 3))


@given(st.data())
def test_convolutions_without_values(data):
    groups, per_group, out = data.draw(st.sampled_from([1, 2])), data.draw(st.integers(1, 3)), data.draw(PAIRS)[0]
    settings = {
        "stride": data.draw(PAIRS),
        "padding": data.draw(EDGES),
        "dilation": data.draw(PAIRS),
        "groups": groups,
        "bias": data.draw(st.booleans()),
    }
    kind = data.draw(st.sampled_from([nn.Conv2d, nn.Conv2d, nn.ConvTranspose2d]))
    layer = kind(groups * per_group, groups * out, data.draw(PAIRS), **settings, device="meta")
    maps = maps_of(data, groups * per_group + data.draw(st.sampled_from([0, 0, 0, 1]))).float()

    def run() -> Tensor:
        with torch.no_grad():
            return layer(maps)

    with CheapShapes():
        cheap = outcome_of(run)
    assert cheap == outcome_of(run)


@pytest.mark.parametrize(
    "layer", [nn.MaxPool2d(1), nn.Conv2d(2, 3, 1, device="meta"), nn.Conv2d(2, 2, 1, groups=2, device="meta")]
)
def test_one_pixel_in_channels_last(layer):
    """It is contiguous as well."""
    maps = torch.empty_strided((1, 2, 1, 1), (2, 1, 2, 2), device="meta")
    with CheapShapes():
        cheap = outcome_of(lambda: layer(maps))
    assert cheap == outcome_of(lambda: layer(maps))


@given(st.data())
def test_poolings_without_values(data):
    maps, kernel = maps_of(data, 2), data.draw(PAIRS)
    settings = {
        "stride": data.draw(st.none() | PAIRS),
        "padding": data.draw(EDGES),
        "dilation": data.draw(PAIRS),
        "ceil_mode": data.draw(st.booleans()),
        "return_indices": True,
    }
    pool = nn.MaxPool2d(kernel, **settings)
    with CheapShapes():
        cheap = outcome_of(lambda: pool(maps))
    assert cheap == outcome_of(lambda: pool(maps))


@given(st.data())
def test_everything_else_without_values(data):
    maps, channels = maps_of(data, 3), data.draw(st.sampled_from([3, 3, 1]))
    other = maps_of(data, channels) if data.draw(st.booleans()) else torch.empty_like(maps)
    dims = data.draw(st.sampled_from([(2, 3), (-1, -2), (1,), (-1,), ()]))
    keep = data.draw(st.booleans())
    types = [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool, torch.complex64]
    factor = torch.empty((), dtype=data.draw(st.sampled_from(types)), device="meta")
    number = data.draw(st.sampled_from([1, 1.5, True, 1j]))
    indices = [[0], [0, 0, 0], [[0]], [True, False, True]]
    chosen = torch.tensor(data.draw(st.sampled_from(indices)))
    runs = {
        "relu": lambda: torch.relu(maps),
        "sum": lambda: maps + other,
        "sum with a number": lambda: maps + 1,
        "scaled sum": lambda: torch.add(maps, other, alpha=2),
        "product": lambda: maps * other,
        "product with a number": lambda: maps * number,
        "product with a factor": lambda: maps * factor,
        "product of a factor": lambda: factor * maps,
        "product with values": lambda: factor * torch.ones(3, 4),
        "product of factors": lambda: factor * maps[0, 0, 0, 0],
        "product of whole numbers": lambda: maps.int() * 1.5,
        "relu6": lambda: nn.functional.relu6(maps),
        "relu6 of whole numbers": lambda: nn.functional.relu6(maps.int()),
        "chosen channels": lambda: maps[0, :, 0, 0][chosen],
        "chosen maps": lambda: maps[chosen],
        "chosen rows": lambda: maps[:, chosen],
        "sum in place": lambda: maps.clone().add_(other),
        "mean": lambda: maps.mean(dims, keepdim=keep),
        "mean in another type": lambda: maps.mean(dims, dtype=torch.float64),
        "linear": lambda: nn.functional.linear(maps.flatten(1), torch.empty(5, other[0].numel(), device="meta")),
        "linear with bias": lambda: nn.Linear(other[0].numel(), 4, device="meta")(maps.flatten(1)),
    }
    for name, run in runs.items():
        with torch.no_grad(), CheapShapes():
            cheap = outcome_of(run)
        with torch.no_grad():
            assert cheap == outcome_of(run), name


def test_a_sum_in_place_is_the_map_itself():
    maps = torch.empty(2, 3, 4, 4, device="meta")
    with CheapShapes():
        total = maps.add_(torch.empty_like(maps))
    assert total is maps
