"""CKA against a slow formula, and the maps of blocks."""

import math

import pytest
import torch

from unskip import make_net
from unskip.edits import without_shortcuts
from unskip.run_analyses._activations import block_maps
from unskip.run_analyses._similarity import cka, gram, unbiased_hsic


def slow_hsic(one, other):
    """Song et al. 2012, equation 5, by loops over distinct images."""
    n = len(one)
    k, h = ([[0.0 if i == j else float(m[i][j]) for j in range(n)] for i in range(n)] for m in (one, other))
    trace = sum(k[i][j] * h[j][i] for i in range(n) for j in range(n))
    sums = sum(map(sum, k)) * sum(map(sum, h)) / ((n - 1) * (n - 2))
    through = sum(k[i][j] * h[j][m] for i in range(n) for j in range(n) for m in range(n))
    return (trace + sums - 2 / (n - 2) * through) / (n * (n - 3))


def test_cka_is_the_slow_formula():
    torch.manual_seed(0)
    one = torch.randn(9, 20)
    other = one[:, :6] + torch.randn(9, 6)
    k, h = gram(one), gram(other)
    expected = slow_hsic(k, h) / math.sqrt(slow_hsic(k, k) * slow_hsic(h, h))
    assert float(unbiased_hsic(k, h)) == pytest.approx(slow_hsic(k, h))
    assert cka(k, h) == pytest.approx(expected)


def test_cka_with_itself_turned_scaled_or_moved_is_one():
    torch.manual_seed(0)
    maps = torch.randn(12, 7)
    turn, _ = torch.linalg.qr(torch.randn(7, 7))
    for other in (maps, 3 * maps @ turn + 5):
        assert cka(gram(maps), gram(other)) == pytest.approx(1, abs=1e-5)


def test_unrelated_maps_have_none_however_wide_they_are():
    torch.manual_seed(0)
    found = [cka(gram(torch.randn(40, 2000)), gram(torch.randn(40, 2000))) for _ in range(10)]
    assert abs(sum(found) / len(found)) < 0.05, "the plain estimate gives more than 0.9 here"
    assert math.isnan(cka(gram(torch.ones(8, 3)), gram(torch.randn(8, 3))))


def test_a_network_with_itself_is_one_and_its_blocks_are_chained():
    torch.manual_seed(0)
    net = without_shortcuts(make_net("resnet14", {"width": 4})).eval()
    images = torch.randn(20, 3, 16, 16)
    maps = block_maps(net, images)
    assert list(maps) == [f"stage{stage}.block{block}" for stage in (1, 2, 3) for block in (1, 2)]
    assert torch.equal(maps["stage1.block2"][0], maps["stage1.block1"][1]), "what one returns the next is given"
    for (_, output), (_, again) in zip(maps.values(), block_maps(net, images).values(), strict=True):
        assert cka(gram(output), gram(again)) == pytest.approx(1)
    features, _ = net.features(images)
    assert torch.equal(maps["stage3.block2"][1], features[-1].flatten(1))
