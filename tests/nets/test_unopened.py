"""A network with modules that could not be looked into is never called free of shortcuts."""

import copy
import io
import json

import pytest
import torch
import torch.nn.functional as F
from rich.console import Console
from torch import nn

from unskip import Budget, NetSpec, UnskipError, fit_budget, forecast, inspect_net, make_net, parse
from unskip.edits import without_shortcuts, without_shortcuts_exactly
from unskip.nets import image_channels, num_kept_additions, unknown_shortcuts, unopened_modules
from unskip.run_plan import described
from unskip.search import plan, render_answer
from unskip.surgery import extract, residual_blocks, with_fading_shortcuts, with_shortened_shortcuts
from unskip.targets import resolve_net
from unskip.torchvision_compat import torchvision

from .around import EXAMPLE, Around, Block, conv

assert torchvision  # timm can import it once it has been made importable
pytest.importorskip("timm")
SHAPE = (3, 16, 12)


def by_values(m, x):
    y = m.b(F.relu(m.a(x)))
    return F.relu(y + x) if y.mean() > 0 else F.relu(y - x)


def plain_block(m, x):
    return F.relu(m.b(F.relu(m.a(x))) + x)


def closed(blocks: int = 2) -> Around:
    torch.manual_seed(3)
    return Around(*(Block(by_values) for _ in range(blocks)))


def half_closed() -> Around:
    torch.manual_seed(3)
    return Around(Block(by_values), Block(plain_block))


@pytest.mark.parametrize(
    "edit", [without_shortcuts, with_fading_shortcuts, with_shortened_shortcuts, without_shortcuts_exactly]
)
def test_what_cannot_be_removed_is_no_edit(edit):
    net = parse(closed(), EXAMPLE)
    with pytest.raises(UnskipError, match=r"2 of its modules, blocks\.0, blocks\.1, could not be opened .*values"):
        edit(net)
    assert not unopened_modules(make_net("resnet14"))


def test_it_survives_what_becomes_of_networks():
    net = parse(half_closed(), EXAMPLE)
    for other in (copy.deepcopy(net), without_shortcuts(net), extract(net), net[:2]):
        assert list(unopened_modules(other)) == ["blocks.0"]
    assert not residual_blocks(without_shortcuts(net))
    again = parse(net, EXAMPLE)
    assert len(unopened_modules(again)) == 1


def printed(inspection) -> str:
    file = io.StringIO()
    inspection.show(Console(file=file, width=1000), details=True)
    return file.getvalue()


def test_inspection_names_them():
    found = inspect_net(parse(closed(), EXAMPLE), SHAPE)
    said = printed(found)
    assert "No shortcut was found that can be removed, but 2 of its modules" in said
    assert "has no shortcuts" not in said
    assert "blocks.1" in said
    assert json.loads(json.dumps(found.to_json()))["kept"]["unopened"].keys() == {"blocks.0", "blocks.1"}
    half = printed(inspect_net(parse(half_closed(), EXAMPLE), SHAPE))
    assert "1 shortcut, with" in half
    assert "whether that has shortcuts is unknown" in half


def test_plans_and_budgets_can_be_made_of_them():
    net = parse(half_closed(), EXAMPLE)
    assert forecast(net, SHAPE).peak_bytes > 0
    assert plan(net, SHAPE)
    net.spec = NetSpec("resnet14")
    fit = fit_budget(net, SHAPE, Budget({"parameters": 10**6}), latency=False)
    assert "blocks.0" in fit.to_json()["unknown"]
    file = io.StringIO()
    render_answer(fit, Console(file=file, width=1000))
    assert "no student loses these" in file.getvalue()


def test_a_run_says_it():
    assert described(make_net("resnet14")) == "resnet14 with 6 shortcuts"
    assert described(without_shortcuts(make_net("resnet14"))) == "resnet14 without shortcuts"
    assert "module blocks.0 could not be opened" in described(without_shortcuts(parse(half_closed(), EXAMPLE)))
    kept = parse(Around(Block(lambda m, x: torch.cat([x, x + m.a(x).relu()], 1)[:, ::2])), EXAMPLE)
    assert num_kept_additions(kept) == 1
    assert described(kept) == "network without shortcuts but 1 addition that stays"


def test_many_are_told_by_the_first_few():
    said = unknown_shortcuts(parse(closed(7), EXAMPLE))
    assert "7 of its modules" in said
    assert "and 3 more" in said
    assert unknown_shortcuts(make_net("resnet14")) == ""


# What a network takes


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_channels_are_those_of_the_network(channels):
    assert image_channels(make_net("resnet14", {"in_channels": channels}), 32) == channels
    model = half_closed()
    model.conv = conv(channels, 8)
    assert image_channels(parse(model, torch.randn(2, channels, 16, 16)), 16) == channels


def test_channels_of_images_that_the_first_convolution_does_not_read():
    class Grey(Around):
        def forward(self, x):
            return super().forward(x.mean(1, keepdim=True))

    model = Grey(Block(plain_block))
    model.conv = conv(1, 8)
    net = parse(model, EXAMPLE)
    assert image_channels(net, 16) == 1  # one channel is its own mean
    net.stem = nn.Sequential(Strict(), net.stem)
    assert image_channels(net, 16) == 3


class Strict(nn.Module):
    def forward(self, x):
        if x.shape[1] != 3:
            raise ValueError("three channels")
        return x


def test_options_of_another_name_decide_the_channels():
    for option in ("in_chans", "in_channels"):
        assert resolve_net("timm:resnet10t", {option: 1}, image_size=(64, 64))[1] == (1, 64, 64)
    assert resolve_net("resnet14", {"in_channels": 2})[1] == (2, 32, 32)


# Weights that cannot be compared


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_named(dtype):
    with pytest.raises(UnskipError, match=r"conv\.weight is b?float16.*must be float32 or float64: call .float\(\)"):
        parse(half_closed().to(dtype), EXAMPLE.to(dtype))


def test_lazy_layers_are_named():
    model = nn.Sequential(conv(3, 8), nn.ReLU(), conv(8, 8, stride=2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(4))
    with pytest.raises(UnskipError, match=r"5\.weight is of a lazy layer .* run the network once"):
        parse(model, EXAMPLE)
    model(EXAMPLE)
    assert parse(model, EXAMPLE).stage_names == ("stage1",)


def test_a_forward_that_raises_is_said_in_one_sentence():
    class Raises(Around):
        def forward(self, x):
            raise KeyError("what")

    class RaisesInTraining(Around):
        def forward(self, x):
            x = super().forward(x)
            if self.training:
                raise LookupError("not now")
            return x

    for model in (Raises(), RaisesInTraining(Block(plain_block))):
        with pytest.raises(UnskipError) as caught:
            parse(model, EXAMPLE)
        assert "\n" not in str(caught.value)
