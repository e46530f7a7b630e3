"""Slices and eigenvalues of functions whose curvature is known."""

import pytest
import torch
from torch import nn

from unskip.run_analyses._curvature import (
    filter_normalised,
    hessian_vector_product,
    largest_eigenvalue,
    loss_slice,
    negative_share,
)


def quadratic(eigenvalues):
    """Weights of several shapes, ``1/2 w H w`` of all of them, and H with these eigenvalues."""
    torch.manual_seed(0)
    count = len(eigenvalues)
    turn, _ = torch.linalg.qr(torch.randn(count, count, dtype=torch.float64))
    hessian = turn @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ turn.T
    weights = [nn.Parameter(torch.randn(2, 3, dtype=torch.float64)), nn.Parameter(torch.randn(count - 6).double())]

    def losses():
        flat = torch.cat([each.flatten() for each in weights])
        yield flat @ hessian @ flat / 8
        yield 3 * flat @ hessian @ flat / 8

    return weights, losses, hessian


@pytest.mark.parametrize(
    ("eigenvalues", "largest"),
    [
        ([9.0, 4, 3, 2, 1, 0.5, 0.1, 0], 9),
        ([-9.0, 4, 3, 2, 1, 0.5, -2, 0], 4),
        ([-9.0, -1, -3, -2, -4, -5, -6, -7], -1),
    ],
)
def test_the_largest_eigenvalue_of_a_quadratic(eigenvalues, largest):
    weights, losses, _ = quadratic(eigenvalues)
    found = largest_eigenvalue(weights, losses, iterations=3000, tolerance=1e-9)
    assert found.value == pytest.approx(largest, rel=1e-8)
    assert found.residual < 1e-6
    rough = largest_eigenvalue(weights, losses, iterations=2, tolerance=1e-9)
    assert rough.residual > 1e-3


def test_products_with_the_hessian_of_a_network_are_autograds():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)).double()
    x, y = torch.randn(7, 4).double(), torch.randint(2, (7,))
    weights = list(net.parameters())

    def whole(*values):
        names = [name for name, _ in net.named_parameters()]
        return nn.functional.cross_entropy(torch.func.functional_call(net, dict(zip(names, values, strict=True)), x), y)

    blocks = torch.autograd.functional.hessian(whole, tuple(weights))
    rows = [torch.cat([b.reshape(w.numel(), -1) for b in row], 1) for w, row in zip(weights, blocks, strict=True)]
    hessian = torch.cat(rows)
    vector = [torch.randn_like(each) for each in weights]
    product = hessian_vector_product(weights, lambda: [whole(*weights) / 2, whole(*weights) / 2], vector)
    flat = torch.cat([each.flatten() for each in vector])
    assert torch.allclose(torch.cat([each.flatten() for each in product]), hessian @ flat)
    top = float(torch.linalg.eigvalsh(hessian)[-1])
    found = largest_eigenvalue(weights, lambda: [whole(*weights)], iterations=500, tolerance=1e-6)
    assert found.value == pytest.approx(top, rel=1e-6)


def test_a_slice_of_a_quadratic_is_exact():
    weights, losses, hessian = quadratic([9.0, 4, 3, -2, 1, 0.5, 0.1, 0])
    before = [each.detach().clone() for each in weights]
    x, y = ([torch.randn_like(each) for each in weights] for _ in range(2))
    places = (-1.0, -0.5, 0.0, 0.5, 1.0)
    heights = loss_slice(weights, lambda: sum(float(part) for part in losses()), (x, y), places)
    flat, along, up = (torch.cat([each.flatten() for each in parts]) for parts in (before, x, y))
    for row, down in enumerate(places):
        for column, right in enumerate(places):
            point = flat + right * along + down * up
            assert heights[row][column] == pytest.approx(float(point @ hessian @ point) / 2)
    assert all(torch.equal(each, kept) for each, kept in zip(weights, before, strict=True)), "the weights are put back"


def test_the_share_of_negative_curvature():
    places = [place / 10 for place in range(-10, 11)]
    bowl = [[x * x + 3 * y * y + x * y for x in places] for y in places]
    saddle = [[x * y for x in places] for y in places]
    cubic = [[x**3 + y * y for x in places] for y in places]  # bends down where x < 0, which 9 of 19 inner columns are
    assert negative_share(bowl) == 0
    assert negative_share(saddle) == 1
    assert negative_share(cubic) == pytest.approx(9 / 19)


def test_filters_have_the_norms_of_the_weights_and_the_rest_stays():
    weights = {"conv.weight": torch.randn(4, 3, 3, 3), "bn.weight": torch.ones(4), "fc.weight": torch.randn(5, 4)}
    weights["conv.weight"][1] = 0
    direction = dict(zip(weights, filter_normalised(weights, "x"), strict=True))
    for name in ("conv.weight", "fc.weight"):
        norms = [each.flatten(1).norm(dim=1) for each in (direction[name], weights[name])]
        assert torch.allclose(*norms, atol=1e-6)
    assert not direction["bn.weight"].any()
    other = {name: 2 * weight for name, weight in weights.items()}
    assert torch.allclose(filter_normalised(other, "x")[0], 2 * direction["conv.weight"], atol=1e-6)
    assert not torch.allclose(filter_normalised(weights, "y")[2], direction["fc.weight"])


def test_what_overflows_is_cut():
    weight = nn.Parameter(torch.zeros(2, 2))
    heights = loss_slice([weight], lambda: float("nan"), ([torch.ones(2, 2)], [torch.ones(2, 2)]), (-1.0, 1.0))
    assert heights == [[1e6, 1e6], [1e6, 1e6]]
