"""The share of images whose most likely class is the right one."""

from unskip.measures._scores import Scored


class Top1(Scored):
    """The share of test images whose most likely class is the right one."""

    title = "Top-1"
    order = 10
