"""In how many places the largest channel is that of the teacher."""

from unskip.measures._scores import Scored


class SameArgmax(Scored):
    """The share of places whose largest channel is the teacher's, a mean over the tensors."""

    title = "Same largest channel"
    order = 13
