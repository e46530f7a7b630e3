"""What the user's own function says of a network."""

from unskip.measures._scores import Scored


class OwnScore(Scored):
    """What the function that the recipe names says of the network."""

    title = "Own score"
    order = 14
