import numpy as np
import pytest
import torch
from PIL import Image

from unskip.data.augment import PadCropFlip
from unskip.data.batches import Batches, Steps
from unskip.data.image_set import ArraySet, FileSet
from unskip.data.normalize import Normalization
from unskip.data.streamed import StreamedImages, Transform
from unskip.errors import UnskipError
from unskip.preprocessing import Preprocessing

from .small_sets import picture

NUM = 11
PIXELS = np.random.default_rng(0).integers(0, 256, (NUM, 40, 30, 3), dtype=np.uint8)
HALF = Normalization((0.5,) * 3, (0.5,) * 3)
IMAGES = ArraySet(np.arange(NUM), "noise", PIXELS)


def streamed(workers=0, crop="resized_crop", size=(24, 24)) -> StreamedImages:
    cover = tuple(round(side * 256 / 224) for side in size) if crop == "resized_crop" else None
    transform = Transform(Preprocessing("RGB", size, cover), crop, PadCropFlip(3, "reflect", flip=True))
    return StreamedImages(IMAGES, transform, torch.device("cpu"), workers)


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
