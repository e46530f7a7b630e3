"""Whether a parsed network is the network that it was."""

from __future__ import annotations

import copy
import math
import random
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unskip.answers import named_answers
from unskip.errors import UnskipError, first_line
from unskip.nets.logits import refuse_probabilities
from unskip.nets.staged_net import StagedNet
from unskip.nets.undisturbed import randomness_kept

_ROUNDING = 1e-6  # of an answer's largest value: some eight units in the last place


def check_same(model: nn.Module, net: StagedNet, images: Tensor) -> None:
    """Raise `UnskipError` unless both answer the same, in eval mode and with the same randomness in train mode.

    In eval mode images of half the size are compared too, where the model takes them. The same is the same up to
    rounding: a sum lies in memory as its first term does, and kernels round by how their input lies there.
    """
    if any(tensor.is_meta for tensor in model.state_dict().values()):
        return
    with _seeded():
        torch.manual_seed(0)
        others = torch.randn_like(images) if images.is_floating_point() else images
    batch = torch.cat([images, others])
    for training in (False, True):
        answers = _answers(model, {}, batch, training=training)
        if isinstance(answers, Tensor) and answers.dim() == 2:
            refuse_probabilities(answers)
        _compare(answers, net, batch, training=training)
    half = batch[:, :, ::2, ::2].contiguous()
    try:
        expected = _answers(model, {}, half, training=False)
    except UnskipError:  # too small for it
        return
    _compare(expected, net, half, training=False, where=f", images {' x '.join(map(str, half.shape[1:]))}")


def _compare(expected: Any, net: StagedNet, images: Tensor, *, training: bool, where: str = "") -> None:
    answers = named_answers(_answers(net, net.original_names, images, training=training))
    wanted = named_answers(expected)
    same_names = answers.keys() == wanted.keys()
    for name in wanted:
        apart = _apart(answers[name], wanted[name]) if same_names else math.nan
        if not apart <= _ROUNDING * _largest(wanted[name]):
            mode = "train" if training else "eval"
            raise UnskipError(
                f"the network cannot be taken apart: in {mode} mode the pieces together give other answers "
                f"(by up to {apart:.0e}{where})"
            )


def _apart(one: Tensor, other: Tensor) -> float:
    if one.shape == other.shape and torch.allclose(one, other, rtol=0, atol=0, equal_nan=True):
        return 0.0
    return (one - other).abs().max().item() if one.shape == other.shape else math.nan


def _largest(answer: Tensor) -> float:
    return answer.float().abs().nan_to_num(0, 0).max().item() if answer.numel() else 0.0


def _answers(model: nn.Module, names: Mapping[str, str], images: Tensor, *, training: bool) -> Any:
    with _seeded(), torch.no_grad():
        twin = _with_nothing_hidden(model, names).train(training)
        torch.manual_seed(0)
        try:
            return twin(images)
        except Exception as error:  # whatever a forward of others raises
            mode = "train" if training else "eval"
            size = " x ".join(map(str, images.shape))
            raise UnskipError(
                f"the network does not run in {mode} mode on images of {size}: {first_line(error)}"
            ) from error


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
    """The same randomness each time, whoever draws it."""
    with randomness_kept(devices=None):
        random.seed(0)
        np.random.seed(0)
        yield
