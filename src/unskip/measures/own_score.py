"""What the user's own function says of a network."""

from unskip.measures._scores import Scored


class OwnScore(Scored):
    """The result of the function named in the recipe."""

    title = "Own score"
    order = 14
