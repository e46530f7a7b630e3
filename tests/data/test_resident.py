import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from unskip.data.augment import PadCropFlip
from unskip.data.batches import Batches, Steps
from unskip.data.normalize import Normalization
from unskip.data.resident import ResidentImages

NUM = 37
PIXELS = np.random.default_rng(0).integers(0, 256, (NUM, 3, 8, 6), dtype=np.uint8)
LABELS = np.arange(NUM, dtype=np.int64)  # every image is its own class, so that labels tell which images came
HALF = Normalization((0.5,) * 3, (0.25,) * 3)
TRAIN = ResidentImages(PIXELS, LABELS, torch.device("cpu"), PadCropFlip(2, "reflect", flip=True))
TEST = ResidentImages(PIXELS, LABELS, torch.device("cpu"))


def batches_of(images, steps, seed):
    return Batches(images, HALF, steps, seed)


def same(first, second) -> bool:
    pairs = list(zip(first, second, strict=True))
    return all(torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in pairs)


@given(st.integers(1, 40), st.integers(0, 5), st.integers(0, 9), st.data())
def test_resuming_at_any_step_gives_the_rest_of_the_epoch(batch_size, epoch, seed, data):
    batches = batches_of(TRAIN, Steps(NUM, batch_size, drop_last=True), seed)
    whole = list(batches.epoch(epoch))
    start = data.draw(st.integers(0, len(batches)))
    assert len(whole) == len(batches)
    assert same(whole[start:], list(batches.epoch(epoch, start)))


def test_ranks_together_see_what_one_process_sees():
    alone = batches_of(TRAIN, Steps(NUM, 8, drop_last=True), 3).epoch(2)
    ranks = [batches_of(TRAIN, Steps(NUM, 8, True, rank, 4), 3).epoch(2) for rank in range(4)]
    for (images, labels), *shares in zip(alone, *ranks, strict=True):
        assert torch.equal(images, torch.cat([share[0] for share in shares]))
        assert torch.equal(labels, torch.cat([share[1] for share in shares]))


def test_labels_stay_with_their_images():
    plain = ResidentImages(PIXELS, LABELS, torch.device("cpu"), PadCropFlip())
    for images, labels in batches_of(plain, Steps(NUM, 8, drop_last=True), 0).epoch(0):
        assert torch.equal(images, HALF(torch.from_numpy(PIXELS[labels])))


def test_epochs_and_seeds_differ_in_augmentation():
    same_image = ResidentImages(PIXELS[[0] * NUM], LABELS * 0, torch.device("cpu"), TRAIN.augmentation)

    def augmented(seed, epoch):
        return next(batches_of(same_image, Steps(NUM, NUM, drop_last=True), seed).epoch(epoch))[0]

    assert not torch.equal(augmented(0, 0), augmented(0, 1))
    assert not torch.equal(augmented(0, 0), augmented(1, 0))
    assert torch.equal(augmented(0, 0), augmented(0, 0))


def test_test_batches_are_in_order_and_complete():
    batches = batches_of(TEST, Steps(NUM, 8, drop_last=False), None)
    images, labels = (torch.cat(part) for part in zip(*batches.epoch(0), strict=True))
    assert labels.tolist() == LABELS.tolist()
    assert labels.dtype == torch.int64
    assert torch.equal(images, HALF(torch.from_numpy(PIXELS)))


def test_batches_leave_global_generators_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(batches_of(TRAIN, Steps(NUM, 8, drop_last=True), 0).epoch(0))
    assert torch.equal(before, torch.get_rng_state())


def test_images_of_augmented_ones_are_as_they_are():
    rows = np.array([5, 0, 3])
    assert torch.equal(TRAIN.at(rows), TEST.at(rows))
