"""What all tests share."""

import gc

from hypothesis import settings

# A property says nothing about time, and on a busy machine any example may take long.
settings.register_profile("unskip", deadline=None)
settings.load_profile("unskip")


def pytest_collection_finish():
    """What libraries hold stays to the end: not to look through it for garbage saves a twentieth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
