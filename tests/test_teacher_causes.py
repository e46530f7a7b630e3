"""What is wrong with a teacher is found; the teachers here tell four shades of red apart."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from unskip import DataRecipe, load_data
from unskip.data import Normalization, named_normalization
from unskip.teacher_causes import examine

SHADES = torch.tensor([40.0, 100.0, 160.0, 220.0])
ORDER = [2, 0, 3, 1]


class TellsShades(nn.Module):
    """Names the shade that is nearest to an image's red. Output i stands for class ``order[i]``."""

    def __init__(self, normalization, order=(0, 1, 2, 3), channel=0):
        super().__init__()
        self.normalization, self.order, self.channel = normalization, list(order), channel

    def forward(self, images):
        mean, std = self.normalization.mean[0], self.normalization.std[0]
        red = 255 * (images[:, self.channel].mean((1, 2)) * std + mean)
        return -((red[:, None] - SHADES[self.order]) ** 2)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder, generator = tmp_path_factory.mktemp("shades"), np.random.default_rng(0)
    for split, count in (("train", 10), ("test", 40)):
        for shade in range(4):
            (folder / split / str(shade)).mkdir(parents=True)
            for index in range(count):
                pixels = np.empty((8, 8, 3))
                pixels[..., 0] = SHADES[shade] + generator.normal(0, 10)
                pixels[..., 1] = 128
                pixels[..., 2] = generator.uniform(20, 240)
                image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
                image.save(folder / split / str(shade) / f"{index}.png")
    return load_data(DataRecipe(name="image_folder", path=str(folder)), device="cpu")


def own(data):
    return Normalization(data.mean, data.std)


def test_a_good_teacher_is_left_alone(data):
    found = examine(TellsShades(own(data)), data, thoroughly=False)
    assert found.cause == ""
    assert found.now == found.then > 0.95
    assert found.images == 160


@pytest.mark.parametrize(("name", "now"), [("imagenet", "pixels"), ("none", None), ("pixels", None)])
def test_another_normalisation(data, name, now):
    images = data.normalized(named_normalization(now, 3)) if now else data
    found = examine(TellsShades(named_normalization(name, 3)), images, thoroughly=True)
    assert "normalised in another way" in found.cause
    assert found.now < 0.7 < 0.9 < found.then
    assert f"add `teacher.normalization={name}`" in str(found)


def test_pixels_from_minus_one_to_one_and_a_recipe_that_is_wrong(data):
    found = examine(TellsShades(Normalization((0.5,) * 3, (0.5,) * 3)), data, thoroughly=True)
    assert "add `teacher.normalization={mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}`" in str(found)
    wrong = data.normalized(named_normalization("pixels", 3))
    found = examine(TellsShades(own(data)), wrong, thoroughly=True)
    assert "add `teacher.normalization=data`" in str(found)


@pytest.mark.parametrize("thoroughly", [True, False])
def test_another_order_of_channels(data, thoroughly):
    found = examine(TellsShades(own(data), channel=2), data, thoroughly=thoroughly)
    assert "blue, green, red" in found.cause
    assert "turn the input channels of its first convolution around" in str(found)


def test_another_order_of_classes_and_the_rows_that_mend_it(data):
    found = examine(TellsShades(own(data), order=ORDER), data, thoroughly=False)
    assert "classes are in another order" in found.cause
    assert found.now < 0.1 < 0.9 < found.then
    assert "normalization" not in found.remedy
    rows = [int(number) for number in found.remedy.split("[")[1].rstrip("]").split(",")]
    assert [ORDER[row] for row in rows] == [0, 1, 2, 3]


def test_two_causes_at_once(data):
    found = examine(TellsShades(named_normalization("pixels", 3), order=ORDER), data, thoroughly=True)
    assert "classes are in another order" in found.cause
    assert "`teacher.normalization=pixels` and put the rows" in found.remedy


def test_a_teacher_that_learned_nothing_has_no_cause(data):
    torch.manual_seed(0)
    noise = nn.Sequential(nn.Flatten(), nn.Linear(192, 4)).eval()
    found = examine(noise, data, thoroughly=True)
    assert found.cause == ""
    assert "no usual cause explains it (tried on 160 test images: as now " in str(found)
