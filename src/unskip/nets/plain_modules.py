"""Any `torch.nn.Module` where a `StagedNet` is expected, and images to parse it with."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor, nn

from unskip.errors import UnskipError, first_line, shortened
from unskip.nets.parse import check_weights, parse
from unskip.nets.staged_net import StagedNet
from unskip.nets.undisturbed import modes_kept
from unskip.own_code import running_own_code

_SIDES = (224, 32, 64, 96, 128, 256, 28)


def staged(model: nn.Module, example_input: Tensor | None = None) -> StagedNet:
    """A `StagedNet` as it is; any other network parsed (:func:`unskip.parse`), its weights copied.

    example_input: images (batch, channels, height, width) of a size that the network takes; by default of the size that
    timm notes in its networks, or else the first usual one that runs. Every function of this package that asks for a
    network and changes none takes a plain `torch.nn.Module` in this way.

    Raises `UnskipError` for what is no network, for one that takes no images of a usual size, and for one that cannot
    be parsed.
    """
    if isinstance(model, StagedNet):
        return model
    if not isinstance(model, nn.Module):
        raise UnskipError(f"expected a network, a torch.nn.Module; got {shortened(repr(model))}")
    try:
        with running_own_code("its forward fails"):
            check_weights(model)
            return parse(model, _usual_images(model) if example_input is None else example_input)
    except UnskipError as error:
        raise UnskipError(f"the network, a {type(model).__name__}, cannot be parsed: {error}") from error


def _usual_images(model: nn.Module) -> Tensor:
    noted = getattr(model, "pretrained_cfg", None)  # as timm's networks have one
    shape = noted.get("input_size") if isinstance(noted, dict) else None
    try:
        return images_for(model, int(shape[-1]) if shape else _SIDES[0])
    except UnskipError as error:
        raise UnskipError(
            f"{error}; parse it with images (batch, channels, height, width) of a size that it takes: "
            "`unskip.parse(model, example_input)`"
        ) from error


def images_for(model: nn.Module, image_size: int, in_channels: int | None = None) -> Tensor:
    """Two images of a size that a network takes: the one it was designed for, or else the first usual one that runs.

    Raises `UnskipError` where none does.
    """
    parameter = next((each for each in model.parameters() if each.is_floating_point()), torch.zeros(()))
    first = next((layer.in_channels for layer in model.modules() if isinstance(layer, nn.Conv2d)), 3)
    # The first convolution need not be what reads the images.
    channel_counts = dict.fromkeys((first or 3, 3) if in_channels is None else (in_channels,))
    sides = dict.fromkeys((image_size, *_SIDES))
    failure = None
    for side, channels in product(sides, channel_counts):
        images = torch.linspace(-2, 2, 2 * channels * side * side, device=parameter.device, dtype=parameter.dtype)
        images = images.sin().reshape(2, channels, side, side)
        try:
            with torch.no_grad(), modes_kept(model):
                model.eval()(images)
            return images
        except Exception as error:  # whatever a forward of others raises
            failure = failure or error
    reason = first_line(failure or ValueError())
    if parameter.is_meta and "meta" in reason:
        raise UnskipError(f"its forward needs values, and nets are looked at without any before a run: {reason}")
    raise UnskipError(f"no image size of {', '.join(map(str, sides))} fits it: {type(failure).__name__}: {reason}")
