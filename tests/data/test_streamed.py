import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import ks_2samp

from unskip.data.augment import PadCropFlip
from unskip.data.batches import Batches, Steps
from unskip.data.image_set import ArraySet, FileSet
from unskip.data.normalize import Normalization
from unskip.data.streamed import StreamedImages, Transform, ahead, random_window, resized
from unskip.errors import UnskipError
from unskip.preprocessing import Preprocessing
from unskip.torchvision_compat import v2

from .small_sets import picture

NUM = 11
PIXELS = np.random.default_rng(0).integers(0, 256, (NUM, 40, 30, 3), dtype=np.uint8)
HALF = Normalization((0.5,) * 3, (0.5,) * 3)
IMAGES = ArraySet(np.arange(NUM), "noise", PIXELS)


def streamed(workers=0, crop="resized_crop", size=(24, 24), keep=True) -> StreamedImages:
    cover = tuple(round(side * 256 / 224) for side in size) if crop == "resized_crop" else None
    transform = Transform(Preprocessing("RGB", size, cover), crop, PadCropFlip(3, "reflect", flip=True))
    return StreamedImages(IMAGES, transform, torch.device("cpu"), workers, keep)


def batches_of(images, steps, seed):
    return Batches(images, HALF, steps, seed)


def same(first, second) -> bool:
    pairs = list(zip(first, second, strict=True))
    return all(torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in pairs)


@pytest.mark.parametrize("crop", ["resized_crop", "pad_crop", "none"])
def test_resuming_gives_the_rest_of_the_epoch_whatever_the_number_of_workers(crop):
    steps = Steps(NUM, 4, drop_last=False)
    whole = list(batches_of(streamed(0, crop), steps, 5).epoch(3))
    assert len(whole) == 3
    assert same(whole[1:], list(batches_of(streamed(2, crop), steps, 5).epoch(3, 1)))
    assert same(whole[2:], list(batches_of(streamed(1, crop), steps, 5).epoch(3, 2)))


def test_ranks_together_see_what_one_process_sees():
    alone = batches_of(streamed(), Steps(NUM, 4, drop_last=True), 3).epoch(1)
    ranks = [batches_of(streamed(), Steps(NUM, 4, True, rank, 2), 3).epoch(1) for rank in range(2)]
    for (images, labels), *shares in zip(alone, *ranks, strict=True):
        assert torch.equal(images, torch.cat([share[0] for share in shares]))
        assert torch.equal(labels, torch.cat([share[1] for share in shares]))


def test_an_images_augmentation_changes_with_the_epoch_and_not_with_the_batch():
    def by_label(batch_size, epoch):
        batches = batches_of(streamed(), Steps(NUM, batch_size, drop_last=False), 0).epoch(epoch)
        return {int(label): image for images, labels in batches for image, label in zip(images, labels, strict=True)}

    small, large, later = by_label(2, 0), by_label(5, 0), by_label(2, 1)
    assert all(torch.equal(small[label], large[label]) for label in range(NUM))
    assert not any(torch.equal(small[label], later[label]) for label in range(NUM))


def test_batches_leave_the_global_generator_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(batches_of(streamed(), Steps(NUM, 4, drop_last=True), 0).epoch(0))
    assert torch.equal(before, torch.get_rng_state())


def test_a_test_image_is_the_centre_of_the_enlarged_image():
    large = Image.fromarray(PIXELS[4]).resize((256, round(40 / 30 * 256)), Image.Resampling.BILINEAR)
    top = (large.height - 224) // 2
    expected = np.asarray(large)[top : top + 224, 16 : 16 + 224].transpose(2, 0, 1)
    [image] = streamed(size=(224, 224)).at(np.array([4]))
    assert (image.int() - torch.from_numpy(expected.copy()).int()).abs().max() <= 2


def test_test_batches_are_in_order_and_not_augmented():
    batches = list(batches_of(streamed(), Steps(NUM, 4, drop_last=False), None).epoch(0))
    assert torch.cat([labels for _, labels in batches]).tolist() == list(range(NUM))
    assert torch.equal(torch.cat([images for images, _ in batches]), HALF(streamed().at(np.arange(NUM))))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_breaks_during_training_is_named_without_a_traceback(tmp_path, workers):
    for index in range(4):
        picture(index, (40, 40)).save(tmp_path / f"{index}.png")
    data = (tmp_path / "2.png").read_bytes()
    (tmp_path / "2.png").write_bytes(data[: len(data) // 2])
    images = FileSet(np.arange(4), tmp_path, [f"{index}.png" for index in range(4)])
    transform = Transform(Preprocessing("RGB", (24, 24), (27, 27)), "resized_crop", PadCropFlip())
    broken = StreamedImages(images, transform, torch.device("cpu"), workers)
    with pytest.raises(UnskipError, match=r"^cannot read the image .*2\.png: ") as caught:
        list(batches_of(broken, Steps(4, 2, drop_last=True), 0).epoch(0))
    assert "Traceback" not in str(caught.value)


# What was decoded


class Counted(ArraySet):
    """Counts how often an image is decoded."""

    times = 0

    def image(self, index):
        type(self).times += 1
        return super().image(index)


@pytest.mark.parametrize(("keep", "decoded"), [(True, NUM), (False, 3 * NUM)])
def test_an_image_is_decoded_once_if_it_is_to_be_kept(keep, decoded):
    Counted.times = 0
    images = replace(streamed(2, keep=keep), image_set=Counted(IMAGES.labels, "noise", PIXELS))
    for epoch in range(3):
        list(batches_of(images, Steps(NUM, 4, drop_last=False), 0).epoch(epoch))
    assert Counted.times == decoded


@pytest.mark.parametrize("crop", ["resized_crop", "pad_crop", "none"])
@pytest.mark.parametrize("seed", [None, 3])
def test_what_was_kept_gives_the_same_pixels(crop, seed):
    steps = Steps(NUM, 4, drop_last=False)
    kept, read = streamed(0, crop), streamed(0, crop, keep=False)
    list(batches_of(kept, steps, 9).epoch(0))
    assert len(kept.kept_pixels) == NUM
    assert len(read.kept_pixels) == 0
    assert same(batches_of(kept, steps, seed).epoch(1), batches_of(read, steps, seed).epoch(1))


def test_a_part_keeps_its_own():
    whole = streamed()
    list(batches_of(whole, Steps(NUM, 4, drop_last=False), 0).epoch(0))
    part = whole.part(np.array([4, 2]), augmented=False)
    assert torch.equal(part.at(np.array([0, 1])), whole.at(np.array([4, 2])))
    assert len(part.kept_pixels) == 0
    assert len(whole.kept_pixels) == NUM


def test_images_that_are_tested_once_are_not_kept():
    images = streamed()
    for kept in (0, NUM, NUM):
        list(batches_of(images, Steps(NUM, 4, drop_last=False), None).epoch(0))
        assert len(images.kept_pixels) == kept


# Windows and scaling, against torchvision and Pillow


@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.sampled_from([1.0, 0.5, 3.0]),
    st.integers(0, 2**31),
)
def test_a_window_lies_in_its_image(height, width, shape, seed):
    top, left, tall, wide = random_window(height, width, shape, np.random.default_rng(seed))
    assert 0 <= top <= top + tall <= height
    assert 0 <= left <= left + wide <= width
    assert min(tall, wide) > 0


@pytest.mark.parametrize(("height", "width"), [(120, 100), (30, 200), (200, 30)])
def test_windows_are_distributed_as_torchvisions(height, width):
    random = np.random.default_rng(0)
    ours = np.array([random_window(height, width, 1.0, random) for _ in range(4000)])
    torch.manual_seed(0)
    crop, image = v2.RandomResizedCrop(8), torch.zeros(3, height, width)
    theirs = np.array(
        [[crop.make_params([image])[key] for key in ("top", "left", "height", "width")] for _ in range(4000)]
    )
    for mine, other in zip(ours.T, theirs.T, strict=True):
        assert ks_2samp(mine, other).statistic < 0.04  # the 99.9 % point for 4,000 each


@pytest.mark.parametrize("shape", [(40, 30, 3), (9, 200, 3), (40, 30)])
@pytest.mark.parametrize("size", [(24, 24), (80, 100), (5, 7)])
def test_scaling_is_pillows_within_a_step(shape, size):
    image = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    expected = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))
    found = resized(image, size)
    assert found.shape == (3 if len(shape) == 3 else 1, *size)
    assert (
        found.int() - torch.from_numpy(expected.reshape(*size, -1).transpose(2, 0, 1).copy()).int()
    ).abs().max() <= 1


# Threads


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_work_is_given_in_order(workers):
    asked = [np.array([number]) for number in range(20)]
    assert [int(found) for found in ahead(lambda rows: torch.tensor(rows[0] ** 2), asked, workers)] == [
        number**2 for number in range(20)
    ]


def test_work_that_nobody_waits_for_is_not_begun():
    done = []

    def work(rows):
        done.append(int(rows[0]))
        return torch.zeros(1)

    begun = ahead(work, [np.array([number]) for number in range(100)], 2)
    next(begun)
    begun.close()
    assert len(done) <= 2 * 2 + 2
    assert threading.active_count() < 50


def test_an_error_of_a_thread_is_its_callers():
    def work(rows):
        raise UnskipError("torn")

    with pytest.raises(UnskipError, match="torn"):
        list(ahead(work, [np.array([0])], 2))
