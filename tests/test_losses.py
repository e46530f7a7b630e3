import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from unskip.losses import attention_transfer, cross_entropy, feature_mse, kl_divergence, nst


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


def slow_attention(maps):
    """For each image the mean over channels of the squares at every position, divided by its length."""
    rows = []
    for image in maps:
        positions = [(y, x) for y in range(image.shape[1]) for x in range(image.shape[2])]
        squares = [sum(float(channel[y, x]) ** 2 for channel in image) / image.shape[0] for y, x in positions]
        length = math.sqrt(sum(value**2 for value in squares))
        rows.append([value / length for value in squares])
    return rows


def slow_attention_transfer(student, teacher):
    pairs = [
        (a, b)
        for one, other in zip(slow_attention(student), slow_attention(teacher), strict=True)
        for a, b in zip(one, other, strict=True)
    ]
    return sum((a - b) ** 2 for a, b in pairs) / len(pairs)


def slow_nst(student, teacher):
    """Squared maximum mean discrepancy, kernel by kernel."""

    def units(image):
        rows = [[float(value) for value in channel.flatten()] for channel in image]
        lengths = [math.sqrt(sum(value**2 for value in row)) for row in rows]
        return [[value / length for value in row] for row, length in zip(rows, lengths, strict=True)]

    def kernel(ones, others):
        return sum(sum(a * b for a, b in zip(x, y, strict=True)) ** 2 for x in ones for y in others) / (
            len(ones) * len(others)
        )

    total = 0.0
    for one, other in zip(student, teacher, strict=True):
        s, t = units(one), units(other)
        total += kernel(s, s) + kernel(t, t) - 2 * kernel(s, t)
    return total / len(student)


def attention_transfer_as_code_has_it(student, teacher):
    """The well-known closed form, with the map's square averaged over channels and normalised."""
    student, teacher = (F.normalize(maps.pow(2).mean(1).view(maps.shape[0], -1)) for maps in (student, teacher))
    return (student - teacher).pow(2).mean()


def nst_as_code_has_it(student, teacher):
    """The well-known broadcast form: every channel against every other, (batch, channels, channels, positions)."""
    s, t = (F.normalize(maps.flatten(2), dim=2) for maps in (student, teacher))

    def kernel(a, b):
        return (a.unsqueeze(1) * b.unsqueeze(2)).sum(-1).pow(2).mean()

    return kernel(t, t) + kernel(s, s) - 2 * kernel(s, t)


# batch, student channels, teacher channels, height, width: more positions than channels, fewer, and between the two.
MAP_SIZES = [(2, 3, 3, 4, 5), (2, 7, 7, 2, 3), (3, 2, 9, 2, 2), (1, 9, 2, 2, 3), (2, 1, 4, 1, 1)]


def random_maps(batch, student, teacher, height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(batch, channels, height, width, generator=generator) for channels in (student, teacher))


@pytest.mark.parametrize("size", MAP_SIZES)
@pytest.mark.parametrize(
    ("loss", "slow", "as_code_has_it"),
    [
        (attention_transfer, slow_attention_transfer, attention_transfer_as_code_has_it),
        (nst, slow_nst, nst_as_code_has_it),
    ],
)
def test_map_losses_equal_their_formulas_and_the_known_code(loss, slow, as_code_has_it, size):
    student, teacher = random_maps(*size)
    student.requires_grad_()
    found = loss(student, teacher)
    (gradient,) = torch.autograd.grad(found, student)
    expected = as_code_has_it(student, teacher)
    (expected_gradient,) = torch.autograd.grad(expected, student)
    assert float(found.detach()) == pytest.approx(slow(student.detach(), teacher), rel=1e-4, abs=1e-6)
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-4, abs=1e-6)
    assert torch.allclose(gradient, expected_gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", MAP_SIZES[:4])
@pytest.mark.parametrize("loss", [attention_transfer, nst])
def test_what_map_losses_do_not_see(loss, size):
    student, teacher = random_maps(*size)
    base = float(loss(student, teacher))
    assert base > 1e-3
    order = torch.randperm(student.shape[1], generator=torch.Generator().manual_seed(1))
    assert float(loss(student[:, order], teacher)) == pytest.approx(base, rel=1e-4)
    assert float(loss(3.5 * student, 0.2 * teacher)) == pytest.approx(base, rel=1e-4)
    scales = torch.linspace(0.5, 3, student.shape[1])[:, None, None]
    sees_each_channel = loss is attention_transfer
    assert (float(loss(scales * student, teacher)) == pytest.approx(base, rel=1e-4)) is not sees_each_channel
    positions = torch.arange(student.shape[2] * student.shape[3]).roll(1)
    moved = student.flatten(2)[:, :, positions].view_as(student)
    assert float(loss(moved, teacher)) != pytest.approx(base, rel=1e-4)
    assert float(loss(teacher, teacher)) == pytest.approx(0, abs=1e-7)
    assert float(loss(teacher.flip(1), 2 * teacher)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("loss", [attention_transfer, nst])
def test_map_losses_reach_the_student_alone_and_stand_dead_channels(loss):
    student, teacher = (torch.relu(maps) for maps in random_maps(2, 4, 6, 3, 3))
    student[:, 1] = 0
    student[0] = 0
    teacher[1, 2] = 0
    student.requires_grad_()
    teacher.requires_grad_()
    value = loss(student, teacher)
    value.backward()
    assert bool(torch.isfinite(value))
    assert bool(torch.isfinite(student.grad).all())
    assert bool((student.grad != 0).any())
    assert teacher.grad is None


@pytest.mark.parametrize("size", [(2, 8, 8, 8, 8), (2, 64, 64, 2, 2)])
@pytest.mark.parametrize("loss", [attention_transfer, nst])
def test_map_losses_compute_in_float32_under_autocast(loss, size):
    student, teacher = (maps.bfloat16() for maps in random_maps(*size))
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(student, teacher)
    assert found.dtype == torch.float32
    assert torch.equal(found, loss(student.float(), teacher.float()))


def test_nst_needs_no_more_memory_than_the_smaller_of_its_two_forms():
    """512 channels of 4 x 4: matrices of 16 x 16 an image, where those of channels would be 512 x 512."""
    student, teacher = random_maps(2, 512, 512, 4, 4)
    largest = 0

    def seen(tensor):
        nonlocal largest
        largest = max(largest, tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(seen, lambda tensor: tensor):
        nst(student.requires_grad_(), teacher)
    assert largest == student.numel()
