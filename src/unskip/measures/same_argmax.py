"""In how many places the largest channel is that of the teacher."""

from unskip.measures._scores import Scored


class SameArgmax(Scored):
    """The mean over the tensors of the share of places whose largest channel is the teacher's."""

    title = "Same largest channel"
    order = 13
