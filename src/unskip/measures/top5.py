"""The share of images with the right class among the five most likely."""

from unskip.measures._scores import Scored


class Top5(Scored):
    """The share of test images with the right class among the five most likely."""

    title = "Top-5"
    order = 11
