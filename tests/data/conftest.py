import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    folder = os.environ.get("UNSKIP_TEST_DATA")
    if not folder:
        pytest.skip("UNSKIP_TEST_DATA names no folder with cifar10/, imagewoof2-128/ and tiny-imagenet-32/")
    return Path(folder)
