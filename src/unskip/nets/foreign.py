"""Networks of other packages, parsed: ``torchvision:NAME``, ``timm:NAME``, ``package.module:factory``."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from unskip.errors import UnskipError, first_line
from unskip.nets.parse import parse
from unskip.nets.staged import StagedNet
from unskip.settings import nearest

__all__ = ["ForeignNet", "PublishedWeights", "find_foreign"]

_SIDES = (224, 32, 64, 96, 128, 256, 28)
_CHANNEL_OPTIONS = ("in_channels", "in_chans")


@dataclass(frozen=True)
class PublishedWeights:
    """The weights that a package publishes for a network.

    ``load`` fetches them, under the names that the package has for them; ``mean`` and ``std`` are those of the images
    that they expect, per channel, for pixel values from 0 to 1.
    """

    load: Callable[[], Mapping[str, Tensor]]
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class ForeignNet:
    """A network of another package; ``image_size`` is the side in pixels that it was designed for, or else 224."""

    source: str
    summary: str
    image_size: int
    model: Callable[..., nn.Module]
    published: PublishedWeights | None = None

    def __call__(self, *, num_classes: int | None = None, in_channels: int | None = None, **options: Any) -> StagedNet:
        """The network, freshly initialised and parsed; ``options`` go to the package's own factory.

        Where the factory takes no ``num_classes`` or ``in_channels``, the last linear layer or the first convolution is
        made anew. Raises `UnskipError` for options that do not fit and for a network that cannot be parsed.
        """
        wanted = {"num_classes": num_classes, "in_channels": in_channels}
        given = {name: value for name, value in wanted.items() if value is not None}
        taken, rest = _split(self.model, given)
        try:
            model = self._make(**taken, **options)
        except (TypeError, ValueError, RuntimeError, AssertionError, NotImplementedError) as error:
            raise UnskipError(f"{self.source} cannot be made with {taken | options}: {first_line(error)}") from error
        if not isinstance(model, nn.Module):
            raise UnskipError(f"{self.source} gives {type(model).__name__}, which is no torch.nn.Module")
        try:
            if _is_lazy(model):
                _example(model, self.image_size, in_channels)  # its layers learn their shapes from what they see
        except UnskipError as error:
            raise UnskipError(f"{self.source}: {error}") from error
        _adapt(model, **rest)
        try:
            return parse(model, _example(model, self.image_size, in_channels))
        except UnskipError as error:
            raise UnskipError(f"{self.source}: {error}") from error

    def _make(self, **arguments: Any) -> nn.Module:
        try:
            return self.model(**arguments)
        except (NotImplementedError, RuntimeError):
            if torch.get_default_device().type != "meta":
                raise
            with torch.device("cpu"):  # it computes with the values of tensors, as torchvision's RegNet does
                model = self.model(**arguments)
            return model.to("meta") if isinstance(model, nn.Module) else model


def find_foreign(source: str) -> ForeignNet:
    """The network that a source with a colon names.

    Raises `UnskipError` for a package, a name or a factory that is not there.
    """
    package, _, name = source.partition(":")
    if package == "torchvision":
        return _torchvision(source, name)
    if package == "timm":
        return _timm(source, name)
    return _factory(source, package, name)


def _torchvision(source: str, name: str) -> ForeignNet:
    from unskip.torchvision_compat import torchvision

    models = torchvision.models
    known = models.list_models(module=models)
    if name not in known:
        raise UnskipError(f"torchvision has no classification network {name!r}{nearest(name, known)}")
    weights = models.get_model_weights(name)
    preset = weights.DEFAULT.transforms() if len(weights) else None
    return ForeignNet(
        source,
        f"torchvision's {name}",
        preset.crop_size[0] if preset else 224,
        lambda **options: models.get_model(name, weights=None, **options),
        preset
        and PublishedWeights(
            lambda: weights.DEFAULT.get_state_dict(check_hash=True), tuple(preset.mean), tuple(preset.std)
        ),
    )


def _timm(source: str, name: str) -> ForeignNet:
    from unskip.torchvision_compat import torchvision

    assert torchvision  # timm can import it once it has been made importable
    try:
        import timm
    except ImportError as error:
        raise UnskipError(f"{source} needs timm: pip install 'unskip[timm]'") from error
    if not timm.is_model(name):
        raise UnskipError(f"timm has no network {name!r}{nearest(name, timm.list_models())}")
    published = timm.get_pretrained_cfg(name)
    return ForeignNet(
        source,
        f"timm's {name}",
        published.input_size[1] if published else 224,
        lambda num_classes=None, in_channels=None, **options: timm.create_model(
            name,
            **({} if num_classes is None else {"num_classes": num_classes}),
            **({} if in_channels is None else {"in_chans": in_channels}),
            **options,
        ),
        PublishedWeights(
            lambda: timm.create_model(name, pretrained=True).state_dict(), tuple(published.mean), tuple(published.std)
        )
        if published
        else None,
    )


def _factory(source: str, module: str, name: str) -> ForeignNet:
    from unskip.torchvision_compat import torchvision

    assert torchvision  # the module may import it
    try:
        with _working_folder_importable():
            found = importlib.import_module(module)
    except (ImportError, ValueError, TypeError) as error:  # the last two for what is no module's name
        raise UnskipError(
            f"{source}: {error} (a module is looked for in this folder and where Python finds packages)"
        ) from error
    factory = getattr(found, name, None)
    if not callable(factory):
        names = [key for key, value in vars(found).items() if callable(value) and not key.startswith("_")]
        raise UnskipError(f"{module} has nothing to call named {name!r}{nearest(name, names)}")
    return ForeignNet(source, f"{name} of {module}", 224, factory)


@contextmanager
def _working_folder_importable() -> Iterator[None]:
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _split(factory: Callable[..., Any], given: Mapping[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """What the factory takes itself, under its own names, and what has to be done to its network."""
    parameters = inspect.signature(factory).parameters
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    taken, rest = {}, {}
    for name, value in given.items():
        names = [own for own in (_CHANNEL_OPTIONS if name == "in_channels" else (name,)) if own in parameters]
        if names:
            taken[names[0]] = value
        elif open_ended and name == "num_classes":
            taken[name] = value
        else:
            rest[name] = value
    return taken, rest


def _adapt(model: nn.Module, *, num_classes: int | None = None, in_channels: int | None = None) -> None:
    """Give a network another last linear layer, another first convolution, where it has others than are wanted."""
    if num_classes is not None:
        linear = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, nn.Linear)]
        if not linear:
            raise UnskipError("the network has no linear layer to give other classes; let its factory take num_classes")
        name, last = linear[-1]
        if last.out_features != num_classes:
            bias = last.bias is not None
            _replace(model, name, nn.Linear(last.in_features, num_classes, bias, last.weight.device, last.weight.dtype))
    if in_channels is not None:
        convolutions = ((name, layer) for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d))
        name, first = next(convolutions, ("", None))
        if first is None:
            raise UnskipError("the network has no convolution to give other channels; let its factory take in_channels")
        if first.in_channels != in_channels:
            if first.groups > 1:
                raise UnskipError(f"the first convolution, {name}, is grouped and cannot read {in_channels} channels")
            made = nn.Conv2d(
                in_channels,
                first.out_channels,
                first.kernel_size,  # type: ignore[arg-type]
                first.stride,  # type: ignore[arg-type]
                first.padding,  # type: ignore[arg-type]
                first.dilation,  # type: ignore[arg-type]
                bias=first.bias is not None,
                padding_mode=first.padding_mode,
                device=first.weight.device,
                dtype=first.weight.dtype,
            )
            _replace(model, name, made)


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)


def _is_lazy(model: nn.Module) -> bool:
    return any(map(is_lazy, (*model.parameters(), *model.buffers())))


def _example(model: nn.Module, image_size: int, in_channels: int | None) -> Tensor:
    """Two images of a size that the network takes: the one it was designed for, or else the first that runs."""
    parameter = next((each for each in model.parameters() if each.is_floating_point()), torch.zeros(()))
    first = next((layer.in_channels for layer in model.modules() if isinstance(layer, nn.Conv2d)), 3)
    known = dict.fromkeys(
        (first or 3, 3) if in_channels is None else (in_channels,)
    )  # it need not be what reads the images
    modes = {module: module.training for module in model.modules()}
    failure = None
    for side, channels in product((image_size, *_SIDES), known):
        images = torch.linspace(-2, 2, 2 * channels * side * side, device=parameter.device, dtype=parameter.dtype)
        images = images.sin().reshape(2, channels, side, side)
        try:
            with torch.no_grad():
                model.eval()(images)
        except Exception as error:  # whatever a forward of others raises
            failure = failure or error
        else:
            return images
        finally:
            for module, training in modes.items():
                module.training = training
    sides = ", ".join(map(str, dict.fromkeys((image_size, *_SIDES))))
    said = first_line(failure or ValueError())
    if parameter.is_meta and "meta" in said:
        raise UnskipError(f"its forward needs values, and nets are looked at without any before a run: {said}")
    raise UnskipError(f"no image size of {sides} fits it: {said}")
