import numpy as np
import pytest

from unskip.chance import chance_limit, is_at_chance


@pytest.mark.parametrize(("chance", "images"), [(0.1, 10_000), (0.5, 400), (0.005, 10_000), (0.9, 1000)])
def test_guesses_are_at_chance_and_the_limit_is_near(chance, images):
    """Of guessers, drawn from the binomial distribution, next to none is above the limit, and some are near it."""
    top1 = np.random.default_rng(0).binomial(images, chance, 2000) / images
    assert np.mean([is_at_chance(share, chance, images) for share in top1]) > 0.995
    assert top1.max() > chance_limit(chance, images) - 0.25 * (chance_limit(chance, images) - chance)


def test_what_has_learned_is_not():
    assert not is_at_chance(0.13, 0.1, 10_000)
    assert is_at_chance(0.13, 0.1, 200)
    assert not is_at_chance(0.5, 0.1, 200)
    assert is_at_chance(0.0, 0.1, 200)


def test_few_images_tell_nothing():
    assert not is_at_chance(0.1, 0.1, 99)
