import pytest
import torch
from torch import nn

from unskip import UnskipError, make_net
from unskip.nets import within_memory
from unskip.nets.within_memory import WithinMemory, check_memory, machine_bytes
from unskip.surgery import edited


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(
    ("net", "options"),
    [
        ("resnet20", {"width": 10**9}),
        ("resnet20", {"num_classes": 10**12}),
        ("resnet50", {"in_channels": 10**18}),
        ("wrn-22x999999999", {}),
        ("vgg16", {"num_classes": 10**11}),
        ("mobilenetv2", {"width_mult": 1e18}),
        ("resnet-basic", {"blocks": [1] * 16}),
        ("torchvision:resnet18", {"num_classes": 10**12}),
        ("torchvision:resnet18", {"in_channels": 10**12}),
    ],
)
def test_a_net_that_no_memory_holds_is_refused_before_it_is_made(net, options, device):
    with torch.device(device), pytest.raises(UnskipError, match=f"{net}: its weights would take .*, and this machine"):
        make_net(net, options)


@pytest.mark.parametrize(
    ("net", "options", "says"),
    [
        ("resnet6000002", {}, "up to 5,000"),
        ("wrn-600000004x1", {}, "up to 5,000"),
        (f"resnet{'1' * 5000}", {}, "no network"),
        ("resnet-basic", {"blocks": [10**9]}, "at most 1000"),
        ("resnet-basic", {"blocks": [1] * 17}, "at most 16"),
        ("torchvision:resnet18", {"num_classes": -1}, "greater than 0"),
        ("torchvision:resnet18", {"num_classes": True}, "whole number"),
        ("torchvision:resnet18", {"in_channels": 0}, "greater than 0"),
    ],
)
def test_counts_that_cannot_be_are_refused_at_once(net, options, says):
    with pytest.raises(UnskipError, match=says):
        make_net(net, options)


def test_an_edit_that_needs_more_than_there_is(monkeypatch):
    net = make_net("resnet8", {"width": 2})
    monkeypatch.setattr(within_memory, "machine_bytes", lambda: 1000)
    with pytest.raises(UnskipError, match=r"^with_grouped_convs: its weights would take"):
        edited(net, [("with_grouped_convs", {"groups": 2})], seed=0)


def test_the_weights_of_all_layers_count_and_their_values_stay(monkeypatch):
    torch.manual_seed(0)
    expected = nn.Linear(10, 10).weight
    monkeypatch.setattr(within_memory, "machine_bytes", lambda: 4 * 330)
    torch.manual_seed(0)
    with WithinMemory("three layers"):
        assert torch.equal(nn.Linear(10, 10).weight, expected)
        nn.Linear(10, 10)
        nn.Linear(10, 10)
    with WithinMemory("four layers"), pytest.raises(UnskipError, match=r"four layers would take .* 1.3 KiB of memory"):
        nn.Sequential(*(nn.Linear(10, 10) for _ in range(4)))


def test_tensors_without_end_are_refused(monkeypatch):
    monkeypatch.setattr(within_memory, "_MOST_TENSORS", 100)
    with WithinMemory("its weights"), pytest.raises(UnskipError, match="its weights are more than 100 tensors"):
        while True:
            torch.empty(0)


def test_a_system_that_does_not_tell_refuses_nothing(monkeypatch):
    assert machine_bytes() is None or machine_bytes() > 2**30
    monkeypatch.setattr(within_memory, "machine_bytes", lambda: None)
    check_memory(1e30, "anything")
