"""Stochastic depth, the regulariser that leaves a block's body out for some of the images, and its removal."""

from __future__ import annotations

import copy

import torch
from torch import nn

from unskip.nets.piece import kind_of
from unskip.nets.stand_ins import ByMode
from unskip.nets.undisturbed import randomness_kept
from unskip.surgery._series import Layer, in_series, remove_layer

_TRIES = 64


def remove_stochastic_depth(body: nn.Module) -> nn.Module:
    """A body, changed in place, without the stochastic depth that its shortcut made up for; an identity if it was all.

    Without the shortcut nothing of an image would be left where it strikes. It stays where another branch, or the
    shortcut of a block within the body, leads past it; dropout stays anyway.
    """
    if is_stochastic_depth(body):
        return nn.Identity().train(body.training)
    found = [each for each in in_series(body) if isinstance(each, Layer) and is_stochastic_depth(each.module)]
    for layer in found:
        remove_layer(layer)
    return body


def is_stochastic_depth(module: nn.Module) -> bool:
    """Whether a module sets all maps of some images to zero in train mode and leaves the rest alike.

    timm's DropPath and torchvision's StochasticDepth are known by name, others by what they do to ones, those written
    into a block's forward under ``if self.training`` included.
    """
    if kind_of(module) == "drop_path":
        return True
    known = type(module).__module__.startswith("torch.") or any(True for _ in module.parameters())
    opaque = any(True for _ in module.children()) and not isinstance(module, ByMode)
    if known or opaque or (isinstance(module, ByMode) and not module.rests_in_eval):
        return False
    twin = copy.deepcopy(module).train()
    with randomness_kept(), torch.device("cpu"), torch.no_grad():
        try:
            outputs = torch.stack([twin(torch.ones(32, 8, 2, 2)) for _ in range(_TRIES)])
        except Exception:  # a module of others that takes no such map
            return False
    if outputs.shape != (_TRIES, 32, 8, 2, 2):
        return False
    images = outputs.reshape(_TRIES * 32, -1)
    dropped = (images == 0).all(dim=1)
    whole = (images == images[:, :1]).all()
    return bool(whole) and bool(dropped.any()) and not bool(dropped.all())
