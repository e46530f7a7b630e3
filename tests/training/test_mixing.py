"""Mixup, CutMix and label smoothing against the losses that they stand for."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unskip import CE, DataRecipe, TrainingRecipe, UnskipError, distill, load_data, make_net
from unskip.methods import METHODS
from unskip.tasks import Classification, Matching
from unskip.training.mixing import MixedBatches, cutmix, mixup


class Batch:
    """One batch, always the same."""

    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __len__(self):
        return 4

    def epoch(self, epoch, start_step=0):
        for _ in range(start_step, len(self)):
            yield self.images, self.labels


def images_and_labels(count=6, channels=3):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, channels, 16, 16, generator=generator), torch.arange(count) % 3


def mixed(images, labels, task=None, *, mixup=0.0, cutmix=0.0, seed=5):
    return MixedBatches(Batch(images, labels), task or Classification(), torch.zeros(1, 3), mixup, cutmix, seed)


def reference_mixed_loss(logits, one, other, share, smoothing):
    """``share CE(one) + (1 - share) CE(other)``, each smoothed, by loops from the formula."""
    log_probabilities = torch.log(torch.exp(logits) / torch.exp(logits).sum(1, keepdim=True))
    total = 0.0
    for row in range(len(logits)):
        for label, weight in ((int(one[row]), share), (int(other[row]), 1 - share)):
            for place in range(logits.shape[1]):
                target = (1 - smoothing) * (place == label) + smoothing / logits.shape[1]
                total -= weight * target * float(log_probabilities[row, place])
    return total / len(logits)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_of_mixed_labels_is_the_mixed_loss(smoothing):
    _, labels = images_and_labels()
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    others = labels.roll(1)
    task = Classification().smoothed(smoothing)
    loss = task.label_loss(logits, task.mixed_labels(labels, others, 0.3, logits))
    assert float(loss) == pytest.approx(reference_mixed_loss(logits, labels, others, 0.3, smoothing), rel=1e-5)


def test_smoothing_is_torchs_and_leaves_the_teachers_term_and_the_score_as_they_are():
    generator = torch.Generator().manual_seed(1)
    student, teacher = torch.randn(2, 6, 3, generator=generator)
    labels = torch.arange(6) % 3
    sharp, smooth = (
        task.terms(student, teacher, labels, alpha=0.4, temperature=2.0)
        for task in (Classification(), Classification().smoothed(0.1))
    )
    expected = 0.6 * nn.CrossEntropyLoss(label_smoothing=0.1)(student, labels)
    assert torch.allclose(smooth["ce"], expected)
    assert torch.equal(smooth["kl"], sharp["kl"])
    scores = [
        task.evaluate(lambda _: student, [(torch.zeros(6), labels)])
        for task in (Classification(), Classification().smoothed(0.1))
    ]
    assert scores[0] == scores[1]


def test_a_batch_of_mixup_has_one_share_of_image_and_label():
    images, labels = images_and_labels()
    shares = set()
    for blended, targets in mixed(images, labels, mixup=0.8).epoch(2):
        share = float(targets[0, 0])  # image 0 is of class 0, its neighbour of class 2
        shares.add(share)
        assert torch.allclose(blended, share * images + (1 - share) * images.roll(1, 0), atol=1e-6)
        one_hot = F.one_hot(labels, 3).float()
        assert torch.allclose(targets, share * one_hot + (1 - share) * one_hot.roll(1, 0))
    assert len(shares) == 4


def test_cutmix_puts_a_rectangle_of_another_image_in_and_labels_by_area():
    images, labels = images_and_labels()
    for pasted, targets in mixed(images, labels, cutmix=1.0).epoch(0):
        foreign = (pasted != images).any(1)
        assert torch.equal(pasted, torch.where(foreign[:, None], images.roll(1, 0), images))
        assert (foreign == foreign[0]).all()
        rows, columns = foreign[0].any(1).sum(), foreign[0].any(0).sum()
        assert foreign[0].sum() == rows * columns
        assert float(targets[0, 0]) == pytest.approx(1 - float(rows * columns) / 256)


def test_the_rectangle_has_the_area_of_the_share_where_it_does_not_jut_out():
    class Middle:
        def random(self, count):
            return np.full(count, 0.5)

    images = torch.zeros(2, 1, 20, 40)
    pasted, share = cutmix(images, images + 1, 0.75, Middle())
    assert share == 0.75
    assert pasted[0, 0, 5:15, 10:30].eq(1).all()
    assert pasted.sum() == 2 * 200


def test_with_both_each_batch_has_one_of_them():
    images, labels = images_and_labels()
    kinds = set()
    for epoch in range(5):
        for batch, _ in mixed(images, labels, mixup=1.0, cutmix=1.0).epoch(epoch):
            pixels = (batch == images) | (batch == images.roll(1, 0))
            kinds.add("cut" if pixels.all() else "blend")
    assert kinds == {"cut", "blend"}


def test_it_is_a_function_of_seed_epoch_and_step():
    images, labels = images_and_labels()
    whole = list(mixed(images, labels, mixup=0.8, cutmix=0.5).epoch(1))
    rest = list(mixed(images, labels, mixup=0.8, cutmix=0.5).epoch(1, 2))
    assert all(
        torch.equal(one, other) for pair in zip(whole[2:], rest, strict=True) for one, other in zip(*pair, strict=True)
    )
    assert not torch.equal(whole[0][0], next(mixed(images, labels, mixup=0.8, cutmix=0.5, seed=6).epoch(1))[0])


@pytest.mark.parametrize("channels_last", [False, True])
def test_images_keep_their_layout(channels_last):
    layout = torch.channels_last if channels_last else torch.contiguous_format
    images = images_and_labels()[0].contiguous(memory_format=layout)
    others = images.roll(1, 0)
    assert mixup(images, others, 0.3).is_contiguous(memory_format=layout)
    assert cutmix(images, others, 0.3, np.random.default_rng(0))[0].is_contiguous(memory_format=layout)


def test_without_labels_images_are_mixed_and_there_is_nothing_to_smooth():
    images, labels = images_and_labels()
    blended, targets = next(mixed(images, labels, Matching(), mixup=1.0).epoch(0))
    assert not torch.equal(blended, images)
    assert targets is labels
    assert Matching().smoothed(0.0) == Matching()
    with pytest.raises(UnskipError, match=r"training\.label_smoothing"):
        Matching().smoothed(0.1)


@pytest.mark.parametrize("name", list(METHODS))
def test_every_method_takes_mixed_images_with_the_mixed_loss(name):
    """Of labels that are a half each, each term is the mean of the two batches' terms with whole labels."""
    torch.manual_seed(0)
    teacher = make_net("resnet14", {"width": 4, "num_classes": 3})
    images, labels = images_and_labels()
    loss = METHODS[name]().loss(teacher, task=Classification().smoothed(0.1))
    loss.eval()  # so that BatchNorm does the same each time
    task = Classification()
    half = task.mixed_labels(labels, labels.roll(1), 0.5, torch.zeros(1, 3))
    for progress in (0.0, 0.5, 0.99):
        found, one, other = (loss(images, targets, progress).item() for targets in (half, labels, labels.roll(1)))
        assert found == pytest.approx((one + other) / 2, rel=1e-4), progress


def test_labels_that_are_no_classes_are_refused_when_they_are_mixed():
    images, labels = images_and_labels()
    with pytest.raises(UnskipError, match="tells 3 classes"):
        next(mixed(images, labels + 2, mixup=1.0).epoch(0))


def test_a_training_is_another_with_each_of_them():
    data = load_data(DataRecipe(limit=100, test_limit=50))
    weights_of = []
    for settings in ({}, {"mixup": 0.2}, {"cutmix": 1.0}, {"label_smoothing": 0.1}):
        torch.manual_seed(0)
        net = make_net("resnet14", {"width": 4, "in_channels": 1})
        distill(None, data, CE(), student=net, training=TrainingRecipe(epochs=1, batch_size=50, **settings))
        weights_of.append(torch.cat([parameter.detach().flatten() for parameter in net.parameters()]))
    assert not any(torch.equal(one, other) for place, one in enumerate(weights_of) for other in weights_of[:place])
