import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unskip.losses import cross_entropy, feature_mse, kl_divergence


def softmax(row, temperature=1.0):
    powers = [math.exp(float(value) / temperature) for value in row]
    return [power / sum(powers) for power in powers]


def slow_cross_entropy(logits, labels):
    return sum(-math.log(softmax(row)[int(label)]) for row, label in zip(logits, labels, strict=True)) / len(labels)


def slow_kl(student, teacher, temperature):
    total = 0.0
    for s_row, t_row in zip(student, teacher, strict=True):
        p, q = softmax(t_row, temperature), softmax(s_row, temperature)
        total += sum(pi * (math.log(pi) - math.log(qi)) for pi, qi in zip(p, q, strict=True))
    return temperature**2 * total / len(student)


def slow_mse(a, b):
    differences = [(float(x) - float(y)) ** 2 for x, y in zip(a.flatten(), b.flatten(), strict=True)]
    return sum(differences) / len(differences)


sizes = st.tuples(st.integers(1, 5), st.integers(2, 12), st.integers(0, 10_000))


@given(sizes, st.floats(0.5, 8))
def test_losses_equal_their_formulas(size, temperature):
    batch, classes, seed = size
    generator = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, batch, classes, generator=generator)
    labels = torch.randint(classes, (batch,), generator=generator)
    maps = torch.randn(2, batch, 2, 3, classes, generator=generator)
    assert float(cross_entropy(student, labels)) == pytest.approx(slow_cross_entropy(student, labels), rel=1e-5)
    # A divergence is a difference of nearly equal numbers: float32 leaves an absolute error, which t^2 multiplies.
    assert float(kl_divergence(student, teacher, temperature)) == pytest.approx(
        slow_kl(student, teacher, temperature), rel=1e-5, abs=5e-7 * temperature**2
    )
    assert float(feature_mse(*maps)) == pytest.approx(slow_mse(*maps), rel=1e-5)


def test_kl_is_zero_at_the_teacher_and_ignores_a_shift_of_the_logits():
    logits = torch.randn(4, 7)
    assert float(kl_divergence(logits, logits, 4.0)) == pytest.approx(0, abs=1e-6)
    other = torch.randn(4, 7)
    assert float(kl_divergence(logits + 3, other - 5)) == pytest.approx(float(kl_divergence(logits, other)), rel=1e-4)


def test_a_repeated_batch_has_the_same_loss():
    student, teacher = torch.randn(2, 3, 5)
    twice = kl_divergence(student.repeat(2, 1), teacher.repeat(2, 1), 2.0)
    assert float(twice) == pytest.approx(float(kl_divergence(student, teacher, 2.0)), rel=1e-5)


@pytest.mark.parametrize("loss", [kl_divergence, feature_mse])
def test_no_gradient_reaches_the_teacher(loss):
    student, teacher = (torch.randn(2, 4, requires_grad=True) for _ in range(2))
    loss(student, teacher).backward()
    assert teacher.grad is None
    assert bool((student.grad != 0).any())


def test_low_precision_is_summed_in_float32():
    maps = torch.full((2, 64, 32, 32), 1e-3, dtype=torch.bfloat16)
    assert feature_mse(maps, torch.zeros_like(maps)).dtype == torch.float32
    assert cross_entropy(torch.zeros(2, 3, dtype=torch.bfloat16), torch.tensor([0, 1])).dtype == torch.float32
