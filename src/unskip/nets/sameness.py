"""Whether a parsed network is the network that it was."""

from __future__ import annotations

import copy
import random
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from unskip.errors import UnskipError, first_line
from unskip.nets.logits import refuse_probabilities
from unskip.nets.staged import StagedNet

__all__ = ["check_same"]


def check_same(model: nn.Module, net: StagedNet, images: Tensor) -> None:
    """Raise `UnskipError` unless both give the same logits, in eval mode and with the same randomness in train mode.

    In eval mode images of half the size are compared too, where the model takes them.
    """
    if any(tensor.is_meta for tensor in model.state_dict().values()):
        return
    with _seeded():
        torch.manual_seed(0)
        others = torch.randn_like(images) if images.is_floating_point() else images
    batch = torch.cat([images, others])
    for training in (False, True):
        logits = _logits(model, {}, batch, training=training)
        refuse_probabilities(logits)
        _compare(logits, net, batch, training=training)
    half = batch[:, :, ::2, ::2].contiguous()
    try:
        expected = _logits(model, {}, half, training=False)
    except UnskipError:  # too small for it
        return
    _compare(expected, net, half, training=False, where=f", images {' x '.join(map(str, half.shape[1:]))}")


def _compare(expected: Tensor, net: StagedNet, images: Tensor, *, training: bool, where: str = "") -> None:
    found = _logits(net, net.original_names, images, training=training)
    if found.shape == expected.shape and torch.allclose(found, expected, rtol=0, atol=0, equal_nan=True):
        return
    mode = "train" if training else "eval"
    apart = (found - expected).abs().max().item() if found.shape == expected.shape else float("nan")
    raise UnskipError(
        f"the network cannot be taken apart: in {mode} mode the pieces together give other logits "
        f"(by up to {apart:.1e}{where})"
    )


def _logits(model: nn.Module, names: Mapping[str, str], images: Tensor, *, training: bool) -> Tensor:
    with _seeded(), torch.no_grad():
        twin = _with_nothing_hidden(model, names).train(training)
        torch.manual_seed(0)
        return _run(twin, images)


def _run(net: nn.Module, images: Tensor) -> Tensor:
    try:
        logits: Tensor = net(images)
    except Exception as error:  # whatever a forward of others raises
        mode = "train" if net.training else "eval"
        size = " x ".join(map(str, images.shape))
        raise UnskipError(
            f"the network does not run in {mode} mode on images of {size}: {first_line(error)}"
        ) from error
    return logits


def _with_nothing_hidden(net: nn.Module, original_names: Mapping[str, str]) -> nn.Module:
    """A copy in which no parameter is one number: a BatchNorm that starts with zeros would hide what comes before."""
    twin = copy.deepcopy(net)
    for name, parameter in twin.named_parameters():
        if bool((parameter == parameter.flatten()[:1]).all()):
            torch.manual_seed(zlib.crc32(original_names.get(name, name).encode()))
            parameter.uniform_(0.2, 0.8)
    return twin


@contextmanager
def _seeded() -> Iterator[None]:
    """The same randomness each time, whoever draws it; afterwards everyone goes on as if nothing had been drawn."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        random.seed(0)
        np.random.seed(0)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
