import copy

import pytest

from study.tiny import TINY
from unskip.study import reading


@pytest.fixture
def tiny():
    """A study of four cells a seed, as plain data."""
    return copy.deepcopy(TINY)


@pytest.fixture
def study_of(tmp_path):
    """A study from plain data."""

    def study(tree, quick=False):
        form = reading.study_form(tree, origin="mine")
        if quick:
            form = reading._small(form, form.quick)
        return reading.Study("mine", form, quick, tmp_path)

    return study
