"""Images that many trainings take."""

import pytest

from unskip import DataRecipe, load_data


@pytest.fixture(scope="session")
def data():
    """A few handwritten digits; not to be changed."""
    return load_data(DataRecipe(limit=200, test_limit=100))
