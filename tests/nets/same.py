"""A parsed network is the network that it was."""

import copy
import random

import torch
from torch import nn

from unskip.answers import named_answers
from unskip.nets import StagedNet
from unskip.surgery import residual_blocks


def assert_same(model: nn.Module, net: StagedNet, images: torch.Tensor) -> None:
    """Equal answers and statistics bit by bit, in eval mode and in train mode, and gradients but for rounding."""
    assert_all_mapped(model, net)
    for training in (False, True):
        tensors = []
        for candidate in (model, net):
            twin = copy.deepcopy(candidate).train(training)
            random.seed(0)
            torch.manual_seed(0)
            answers = named_answers(twin(images))
            gradients = {}
            try:
                sum((each * torch.randn(each.shape, dtype=each.dtype)).sum() for each in answers.values()).backward()
                gradients = {name: parameter.grad for name, parameter in twin.named_parameters()}
            except RuntimeError:  # a network that overwrites what its own gradient needs has none
                if candidate is net:
                    raise
            tensors.append((answers, gradients, dict(twin.named_buffers())))
        (expected, their_gradients, their_buffers), (found, gradients, buffers) = tensors
        mode = "train" if training else "eval"
        assert list(expected) == list(found)
        assert all(torch.equal(expected[name], found[name]) for name in expected), f"answers in {mode} mode"
        for name, original in net.original_names.items():
            if name in gradients and their_gradients:
                assert equal(their_gradients[original], gradients[name]), f"gradient of {original} in {mode} mode"
            elif name in buffers:
                assert torch.equal(their_buffers[original], buffers[name]), f"{original} in {mode} mode"


def equal(one: torch.Tensor | None, two: torch.Tensor | None) -> bool:
    """Up to rounding: gradients of several paths are summed in the order of the graph."""
    if one is None or two is None:
        return one is two
    return torch.allclose(one, two, rtol=0, atol=1e-3 * float(one.abs().max()))


def assert_all_mapped(model: nn.Module, net: StagedNet) -> None:
    """Every tensor of the original is one of the net's, under one name, or is known as unused."""
    own, theirs = net.state_dict(), model.state_dict()
    stored = {name: original for name, original in net.original_names.items() if name in own}
    assert set(stored) == set(own)
    assert sorted([*stored.values(), *net.unused_names]) == sorted(theirs)
    assert all(torch.equal(own[name], theirs[original]) for name, original in stored.items())


def branches(net: StagedNet) -> list[tuple[str, str, str]]:
    """What every block has in its body and in its shortcut, by the names of the original's layers, and what follows."""

    def layers(place: str) -> str:
        names = [theirs for own, theirs in net.original_names.items() if own.startswith(place + ".")]
        return " ".join(dict.fromkeys(name.rpartition(".")[0].rpartition(".")[2] for name in names))

    return [
        (layers(f"{place}.body"), layers(f"{place}.shortcut"), type(block.activation).__name__)
        for place, block in residual_blocks(net).items()
    ]
