"""Whether two networks are the same one, which rounding does not decide."""

import copy

import pytest
import torch
from torch import nn

from unskip import make_net
from unskip.errors import UnskipError
from unskip.nets.sameness import check_same


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return make_net("resnet14", {"width": 4})


def scaled(net, factor):
    other = copy.deepcopy(net)
    with torch.no_grad():
        for module in other.modules():
            if isinstance(module, nn.Linear):
                module.weight.mul_(factor)
                module.bias.mul_(factor)
    return other


def test_answers_may_differ_by_rounding_and_by_no_more(net):
    images = torch.randn(1, 3, 16, 16)
    check_same(net, net, images)
    check_same(net, scaled(net, 1 + 2**-22), images)
    with pytest.raises(UnskipError, match="give other answers"):
        check_same(net, scaled(net, 1 + 2**-17), images)


def test_a_term_of_a_ten_thousandth_is_seen(net):
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = copy.deepcopy(net)

        def forward(self, images):
            return self.net(images) + 1e-4 * images.mean()

    with pytest.raises(UnskipError, match="give other answers"):
        check_same(Shifted(), net, torch.randn(1, 3, 16, 16))


class Several(nn.Module):
    """Answers of very different sizes, one of them no number."""

    def __init__(self, net, small):
        super().__init__()
        self.net, self.small = net, small

    def forward(self, images):
        answer = self.net(images)
        return {"large": 1e6 * answer, "small": self.small * answer, "positive": answer > 0}


def test_every_answer_is_compared_by_its_own_size(net):
    images = torch.randn(1, 3, 16, 16)
    check_same(Several(net, 1.0), Named(Several(net, 1 + 2**-22)), images)
    with pytest.raises(UnskipError, match="give other answers"):
        check_same(Several(net, 1.0), Named(Several(net, 1.01)), images)


class Named(nn.Module):
    """A network that was taken apart, as far as the comparison looks at it."""

    def __init__(self, net):
        super().__init__()
        self.net, self.original_names = net, {f"net.{name}": name for name, _ in net.named_parameters()}

    def forward(self, images):
        return self.net(images)
