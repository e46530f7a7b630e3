"""Where two networks answer otherwise, against a reference that looks at one image after the other."""

import base64
import io
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from unskip.compare.answers import NUM_SHOWN, AnsweredBatch, compare_answers, compared
from unskip.data import load_data
from unskip.errors import UnskipError
from unskip.export import export_net
from unskip.nets import make_net
from unskip.recipe import DataRecipe
from unskip.records import Answers
from unskip.surgery import build

DIGITS = DataRecipe(name="digits", image_size=8, test_limit=150)


def batches_of(teacher, winner, labels, size, shape=(1, 2, 2)):
    """The same in batches; the image at place p of all is filled with p."""
    for start in range(0, len(labels), size):

        def pixels(place, start=start):
            return torch.full(shape, (start + place) % 256, dtype=torch.uint8)

        part = slice(start, start + size)
        yield AnsweredBatch(teacher[part], winner[part], labels[part], pixels)


def softmax(row):
    highest = max(row)
    powers = [math.exp(value - highest) for value in row]
    total = sum(powers)
    return [power / total for power in powers]


def slowly(teacher, winner, labels, num_classes):
    """Everything but the pictures, one image after the other."""
    right, mistakes, apart = {}, {}, []
    for index, (p, q, true) in enumerate(zip(teacher.tolist(), winner.tolist(), labels.tolist(), strict=True)):
        answers = [row.index(max(row)) for row in (p, q)]
        for who, answered in enumerate(answers):
            counts = (
                right.setdefault(true, [0, 0]) if answered == true else mistakes.setdefault((true, answered), [0, 0])
            )
            counts[who] += 1
        if answers[0] != answers[1]:
            pairs = zip(softmax(p), softmax(q), strict=True)
            apart.append((-sum(abs(a - b) for a, b in pairs) / 2, index))
    changes = sorted(
        (-abs(before - after), pair, before, after) for pair, (before, after) in mistakes.items() if before != after
    )
    return (
        [tuple(right.get(number, (0, 0))) for number in range(num_classes)],
        [(*pair, before, after) for _, pair, before, after in changes[:NUM_SHOWN]],
        len(apart),
        [index for _, index in sorted(apart)[:NUM_SHOWN]],
    )


@pytest.mark.parametrize(("images", "num_classes", "size"), [(400, 10, 64), (60, 2, 7), (150, 1000, 150), (9, 3, 1)])
def test_equals_the_slow_reference(images, num_classes, size):
    random = torch.Generator().manual_seed(images)
    labels = torch.randint(num_classes - 1, (images,), generator=random)  # the last class has no images
    teacher = torch.randn(images, num_classes, generator=random)
    winner = teacher + torch.randn(images, num_classes, generator=random)
    answers = compared(batches_of(teacher, winner, labels, size), [f"class {n}" for n in range(num_classes)])
    right, changes, apart, furthest = slowly(teacher, winner, labels, num_classes)
    assert [(each.teacher, each.winner) for each in answers.classes] == right
    assert [each.images for each in answers.classes] == torch.bincount(labels, minlength=num_classes).tolist()
    assert [(each.true, each.answered, each.teacher, each.winner) for each in answers.confusions] == changes
    assert (answers.images, answers.differing) == (images, apart)
    assert [each.index for each in answers.disagreements] == furthest
    for each in answers.disagreements:
        assert each.true == labels[each.index]
        assert each.teacher.answered == teacher[each.index].argmax() != each.winner.answered
        p, q = (logits[each.index].double().softmax(0) for logits in (teacher, winner))
        assert each.teacher.probability == pytest.approx(p.max().item())
        assert each.distance == pytest.approx((p - q).abs().sum().item() / 2)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(2, 5))
def test_the_size_of_batches_changes_nothing(images, size, num_classes):
    random = torch.Generator().manual_seed(images)
    labels = torch.randint(num_classes, (images,), generator=random)
    # Few different logits, so that many distances are equal.
    teacher, winner = (torch.randint(3, (images, num_classes), generator=random).float() for _ in range(2))
    classes = [str(number) for number in range(num_classes)]
    whole = compared(batches_of(teacher, winner, labels, images), classes)
    assert compared(batches_of(teacher, winner, labels, size), classes) == whole


def test_networks_that_agree_have_nothing_to_show():
    logits = torch.randn(5, 3)
    found = compared(batches_of(logits, 2 * logits, torch.zeros(5, dtype=torch.int64), 2), ["a", "b", "c"])
    assert (found.differing, found.confusions, found.disagreements) == (0, (), ())


def test_a_network_that_diverged_is_shown_too():
    logits = torch.randn(40, 3)
    found = compared(batches_of(logits, torch.full((40, 3), torch.nan), torch.arange(40) % 3, 16), ["a", "b", "c"])
    assert all(each.winner.probability == pytest.approx(1 / 3) for each in found.disagreements)


def test_no_images_are_refused():
    with pytest.raises(UnskipError, match="no test images"):
        compared([], ["a", "b"])


def opened(png: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(png)))


@pytest.mark.parametrize(
    ("shape", "size", "mode"), [((1, 8, 8), (8, 8), "L"), ((3, 300, 200), (64, 96), "RGB"), ((3, 4, 9), (9, 4), "RGB")]
)
def test_pictures_are_small_and_whole(shape, size, mode):
    logits = torch.tensor([[1.0, 0.0]])
    (shown,) = compared(
        batches_of(logits, -logits, torch.zeros(1, dtype=torch.int64), 1, shape), ["a", "b"]
    ).disagreements
    image = opened(shown.png)
    assert (image.size, image.mode, image.format) == (size, mode, "PNG")


@pytest.fixture(scope="module")
def digits():
    return load_data(DIGITS, device="cpu")


@pytest.fixture(scope="module")
def nets():
    options = {"num_classes": 10, "width": 4, "in_channels": 1}
    return [build(make_net("resnet8", options).spec, seed=seed).train() for seed in (0, 1)]


def test_a_file_answers_as_the_network_that_it_holds(digits, nets, tmp_path):
    teacher, winner = nets
    of_net = compare_answers(teacher, winner, digits)
    assert teacher.training
    assert winner.training
    assert (of_net.images, sum(each.images for each in of_net.classes)) == (digits.num_test,) * 2
    path = tmp_path / "winner.onnx"
    export_net(winner.eval(), path, digits.scaled().test_images(16), normalization=(digits.mean, digits.std))
    of_file = compare_answers(teacher, path, digits)
    assert of_file.classes == of_net.classes
    assert [each.index for each in of_file.disagreements] == [each.index for each in of_net.disagreements]


def test_pictures_are_the_images_themselves(digits, nets):
    shown = compare_answers(*nets, digits).disagreements[0]
    images = torch.cat([images for images, _ in digits.scaled().test_batches(64).epoch(0)])
    assert np.array_equal(np.asarray(opened(shown.png)), (255 * images[shown.index, 0]).round().numpy())


def test_a_winner_may_see_other_sizes_of_the_same_images(digits, nets):
    larger = load_data(DIGITS.model_copy(update={"image_size": 16}), device="cpu")
    assert compare_answers(*nets, digits, winner_data=larger).images == digits.num_test
    with pytest.raises(UnskipError, match=r"`winner_data` has 140 test images.*`data` 150"):
        compare_answers(
            *nets, digits, winner_data=load_data(DIGITS.model_copy(update={"test_limit": 140}), device="cpu")
        )


def test_photographs_are_streamed(nets, tmp_path):
    random = np.random.default_rng(0)
    for split, count in (("train", 2), ("test", 5)):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(count):
                image = Image.fromarray(random.integers(0, 256, (90, 130, 3), dtype=np.uint8))
                image.save(tmp_path / split / name / f"{number}.jpg")
    data = load_data(DataRecipe(name="image_folder", path=str(tmp_path), image_size=120, workers=0), device="cpu")
    few = [build(make_net("resnet8", {"num_classes": 2, "width": 4}).spec, seed=seed) for seed in (0, 1)]
    found = compare_answers(*few, data)
    assert [each.images for each in found.classes] == [5, 5]
    assert all(opened(each.png).size == (96, 96) for each in found.disagreements)


def test_other_classes_are_refused(digits, nets):
    class Few(nn.Module):
        def forward(self, images):
            return images.flatten(1)[:, :3]

    with pytest.raises(UnskipError, match="10 classes"):
        compare_answers(nets[0], Few(), digits)


def test_the_record_refuses_classes_that_it_does_not_have():
    logits = torch.tensor([[1.0, 0.0]])
    found = compared(batches_of(logits, -logits, torch.zeros(1, dtype=torch.int64), 1), ["a", "b"])
    with pytest.raises(ValueError, match="from 0 to 0"):
        Answers.model_validate({**found.model_dump(), "classes": found.model_dump()["classes"][:1]})
