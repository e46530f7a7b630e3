"""How far a network answers as its teacher does."""

from unskip.measures._scores import Scored


class Agreement(Scored):
    """The share of the variance of the teacher's answers to the test images that the network's explain."""

    title = "Agreement"
    order = 12
