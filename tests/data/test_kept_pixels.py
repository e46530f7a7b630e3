import numpy as np
import pytest

from unskip.data import kept_pixels as module
from unskip.data.kept_pixels import KeptPixels

IMAGE = np.full((2, 3, 3), 7, np.uint8)


@pytest.fixture
def memory(monkeypatch):
    """Lets the machine have so many bytes of room."""

    def has(amount):
        monkeypatch.setattr(module, "room", lambda spared: amount)

    has(1)
    return has


def test_what_is_kept_is_there(memory):
    kept = KeptPixels()
    assert kept.get(3) is None
    kept.put(3, IMAGE)
    assert kept.get(3) is IMAGE
    assert len(kept) == 1


def test_a_full_memory_takes_no_more_and_is_looked_at_again(memory):
    memory(0)
    kept = KeptPixels()
    for row in range(64):
        kept.put(row, IMAGE)
    assert len(kept) == 0
    memory(1)
    for row in range(64, 128):
        kept.put(row, IMAGE)
    memory(0)
    for row in range(128, 200):
        kept.put(row, IMAGE)
    assert len(kept) == 64
