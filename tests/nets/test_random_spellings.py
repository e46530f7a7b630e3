"""Random residual networks in random spellings: a shortcut is found, kept and counted, or in a module that is named."""

import random

import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from unskip import inspect_net, parse
from unskip.nets import num_kept_additions, unopened_modules
from unskip.surgery import residual_blocks

from .around import CHANNELS, EXAMPLE, OTHERS, Around, conv
from .same import assert_same
from .test_additions import KEPT, SCALED, TWO

SPELLINGS = {**TWO, **SCALED, **KEPT}


class Spelt(nn.Module):
    """A block whose addition, decisions by shapes and behaviour in training are spelt in a way of many."""

    def __init__(self, spelling: str, decision: str, training: str) -> None:
        super().__init__()
        self.a, self.b, self.c = conv(CHANNELS), conv(CHANNELS), conv(CHANNELS, kernel=1)
        self.float_functional = torch.ao.nn.quantized.FloatFunctional()
        self.spelling, self.decision, self.in_training = spelling, decision, training

    def forward(self, x):
        if self.decision == "assert":
            assert x.ndim == 4
            assert x.size(1) == CHANNELS
        elif self.decision == "values" and x.sum() > 0:
            return F.relu(self.c(x) + x)
        y = self.b(F.relu(self.a(x)))
        if self.decision == "channels" and y.shape[1] != x.shape[1]:
            x = self.c(x)
        elif self.decision == "filled":
            x = torch.cat([x[:, 1:], torch.zeros_like(y[:, :1])], 1)
        elif self.decision == "side" and x.shape[-1] > 14:
            x = self.c(x)
        if self.in_training == "drops" and self.training:
            y = y * (torch.rand(x.shape[0], 1, 1, 1) < 0.7) / 0.7
        elif self.in_training == "dropout":
            y = F.dropout(y, 0.2, self.training)
        elif self.in_training == "returns" and self.training and random.random() < 0.5:
            return F.relu(x)
        return F.relu(SPELLINGS[self.spelling](self, y, x))

    @property
    def is_open(self) -> bool:
        return self.decision not in ("values", "side") and self.in_training != "returns"


BLOCKS = st.builds(
    Spelt,
    st.sampled_from(sorted(SPELLINGS)),
    st.sampled_from(["none", "none", "assert", "channels", "filled", "side", "values"]),
    st.sampled_from(["nothing", "nothing", "drops", "dropout", "returns"]),
)


@settings(max_examples=25, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(BLOCKS, min_size=1, max_size=4))
def test_no_shortcut_is_passed_over_in_silence(blocks):
    torch.manual_seed(3)
    model = Around(*blocks)
    net = parse(model, EXAMPLE)
    assert_same(model, net, OTHERS[0])
    opened = [block for block in blocks if block.is_open]
    assert len(residual_blocks(net)) == sum(block.spelling not in KEPT for block in opened)
    assert num_kept_additions(net) == sum(block.spelling in KEPT for block in opened)
    assert list(unopened_modules(net)) == [f"blocks.{n}" for n, block in enumerate(blocks) if not block.is_open]
    if not residual_blocks(net):
        assert "has no shortcuts" not in inspect_net(net, tuple(EXAMPLE.shape[1:])).analyses["verdict"].text
