"""Networks of other packages, parsed: ``torchvision:NAME``, ``timm:NAME``, ``package.module:factory``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, get_type_hints

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from unskip.errors import UnskipError, nearest
from unskip.nets.layers import conv_settings
from unskip.nets.parse import parse
from unskip.nets.plain_modules import images_for
from unskip.nets.staged_net import StagedNet
from unskip.own_code import own_object, running_own_code

_USUAL = 224  # the side of images in pixels where no other is known
_CHANNEL_OPTIONS = ("in_channels", "in_chans")
_READS_FILES = ("checkpoint_path", "cache_dir")
_TIMM_NAME = re.compile(r"\w+(\.\w+)?")  # timm takes hf-hub:, local-dir: and paths too, which bring files of their own


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

    def __call__(
        self, *, num_classes: PositiveInt | None = None, in_channels: PositiveInt | None = None, **options: Any
    ) -> StagedNet:
        """The network, freshly initialised and parsed; ``options`` go to the package's own factory.

        Where the factory takes no ``num_classes`` or ``in_channels``, the last linear layer or the first convolution is
        made anew. Raises `UnskipError` for options that do not fit and for a network that cannot be parsed.
        """
        _check_options(self.source, options)
        wanted = {"num_classes": num_classes, "in_channels": in_channels}
        settings = {name: value for name, value in wanted.items() if value is not None}
        with running_own_code(f"{self.source} cannot be made with {settings | options}"):
            of_factory, of_network = _split(self.model, settings)
            model = self._make(**of_factory, **options)
        if not isinstance(model, nn.Module):
            raise UnskipError(f"{self.source} gives {type(model).__name__}, which is no torch.nn.Module")
        try:
            with running_own_code("its forward fails"):
                if _is_lazy(model):
                    images_for(model, self.image_size, in_channels)  # its layers learn their shapes from what they see
                _adapt(model, **of_network)
                return parse(model, images_for(model, self.image_size, in_channels))
        except UnskipError as error:
            raise UnskipError(f"{self.source}: {error}") from error

    def unparsed(self) -> nn.Module:
        """The package's own module, freshly initialised, with the classes and channels that it has by default."""
        return self._make()

    def _make(self, **arguments: Any) -> nn.Module:
        try:
            return self.model(**arguments)
        except (NotImplementedError, RuntimeError):
            if torch.get_default_device().type != "meta":
                raise
            with torch.device("cpu"):  # it computes with the values of tensors, as torchvision's RegNet does
                model = self.model(**arguments)
            return model.to("meta") if isinstance(model, nn.Module) else model


def _check_options(source: str, options: Mapping[str, Any]) -> None:
    """Raise `UnskipError` for an option by which torchvision or timm would read other files or the network."""
    package = source.partition(":")[0]
    if package in ("torchvision", "timm"):
        for name in options:
            if name in _READS_FILES or name.startswith(("pretrained", "weights")):
                raise UnskipError(
                    f"{source}: the option {name} is not taken, since it has other files read; "
                    "where weights come from is said with teacher.weights, which may be `pretrained`"
                )


def find_foreign(source: str) -> ForeignNet:
    """The network that a source with a colon names.

    Raises `UnskipError` for a package, a name or a factory that is not there.
    """
    package, _, name = source.partition(":")
    if package == "torchvision":
        return _torchvision(source, name)
    if package == "timm":
        return _timm(source, name)
    return _own(source)


def _torchvision(source: str, name: str) -> ForeignNet:
    """A network that classifies or segments, or a module in another one: ``fasterrcnn_resnet50_fpn.backbone``."""
    from unskip.torchvision_compat import torchvision

    models = torchvision.models
    name, _, inside = name.partition(".")
    segmenting, detecting = models.list_models(models.segmentation), models.list_models(models.detection)
    known = [*models.list_models(models), *segmenting, *(detecting if inside else ())]
    if name not in known:
        hint = f"; its backbone is torchvision:{name}.backbone" if name in detecting else nearest(name, known)
        raise UnskipError(f"torchvision has no network {name!r} that classifies or segments{hint}")
    weights = models.get_model_weights(name)
    preset = weights.DEFAULT.transforms() if len(weights) else None
    fixed = {"weights_backbone": None} if name in (*segmenting, *detecting) else {}
    prefix = f"{inside}." if inside else ""

    def make(**options: Any) -> nn.Module:
        if inside and "num_classes" in options:
            raise UnskipError(f"{source} is a module without classes of its own; leave out `num_classes`")
        return _module_in(models.get_model(name, weights=None, **fixed, **options), inside, source)

    def load() -> Mapping[str, Tensor]:
        tensors = weights.DEFAULT.get_state_dict(check_hash=True, weights_only=True)
        return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}

    mean, std = (tuple(getattr(preset, each, ())) for each in ("mean", "std"))
    published = PublishedWeights(load, mean, std) if mean else None
    crop = getattr(preset, "crop_size", None)
    return ForeignNet(source, f"torchvision's {source.partition(':')[2]}", crop[0] if crop else _USUAL, make, published)


def _module_in(model: nn.Module, place: str, source: str) -> nn.Module:
    try:
        return model.get_submodule(place)
    except AttributeError as error:
        inside = ", ".join(name for name, _ in model.named_children())
        raise UnskipError(f"{source}: there is no module {place!r} in it (there are {inside})") from error


def _timm(source: str, name: str) -> ForeignNet:
    from unskip.torchvision_compat import torchvision

    assert torchvision  # timm can import it once it has been made importable
    try:
        import timm
    except ImportError as error:
        raise UnskipError(f"{source} needs timm: pip install 'unskip[timm]'") from error
    if not _TIMM_NAME.fullmatch(name) or not timm.is_model(name):
        raise UnskipError(f"timm has no network {name!r}{nearest(name, timm.list_models())}")

    def make(in_chans: int | None = None, **options: Any) -> nn.Module:
        channels: dict[str, Any] = {} if in_chans is None else {"in_chans": in_chans}
        model: nn.Module = timm.create_model(name, **channels, **options)
        return model

    def load() -> Mapping[str, Tensor]:
        tensors: Mapping[str, Tensor] = timm.create_model(name, pretrained=True).state_dict()
        return tensors

    config = timm.get_pretrained_cfg(name)
    published = PublishedWeights(load, tuple(config.mean), tuple(config.std)) if config else None
    return ForeignNet(source, f"timm's {name}", config.input_size[1] if config else _USUAL, make, published)


def _own(source: str) -> ForeignNet:
    """A network of the user's own; see `unskip.own_code.own_object`.

    Its factory is a subclass of `nn.Module`, or a function that does not say it returns something else, defined in that
    module or in another of the same package.
    """
    module, _, name = source.partition(":")
    expected = "a class that is a torch.nn.Module or a function that returns one"
    return ForeignNet(source, f"{name} of {module}", _USUAL, own_object(source, "network", _is_factory, expected))


def _is_factory(value: Any, module: str) -> bool:
    while isinstance(value, partial):
        value = value.func
    if not isinstance(value, type):
        if not callable(value):
            return False
        value = inspect.unwrap(value)
    home = str(getattr(value, "__module__", ""))
    if home.partition(".")[0] != module.partition(".")[0]:
        return False
    if isinstance(value, type):
        return issubclass(value, nn.Module)
    return inspect.isfunction(value) and _may_return_module(value)


def _may_return_module(function: Callable[..., Any]) -> bool:
    """Whether what a function says of its result leaves room for a module."""
    try:
        annotation = get_type_hints(function).get("return", object)
    except Exception:  # hints that cannot be read say nothing
        return True
    return not isinstance(annotation, type) or issubclass(annotation, nn.Module) or issubclass(nn.Module, annotation)


def _split(factory: Callable[..., Any], settings: Mapping[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """What the factory takes itself, under its own names, and what has to be done to its network."""
    parameters = inspect.signature(factory).parameters
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    of_factory, of_network = {}, {}
    for name, value in settings.items():
        names = [own for own in (_CHANNEL_OPTIONS if name == "in_channels" else (name,)) if own in parameters]
        if names:
            of_factory[names[0]] = value
        elif open_ended and name == "num_classes":
            of_factory[name] = value
        else:
            of_network[name] = value
    return of_factory, of_network


def _adapt(model: nn.Module, *, num_classes: int | None = None, in_channels: int | None = None) -> None:
    """Give a network another last linear layer, another first convolution, where it has others than are wanted."""
    if num_classes is not None:
        linear = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, nn.Linear)]
        if not linear:
            raise UnskipError("the network has no linear layer to give other classes; let its factory take num_classes")
        name, last = linear[-1]
        if last.out_features != num_classes:
            bias = last.bias is not None
            fresh = nn.Linear(last.in_features, num_classes, bias, last.weight.device, last.weight.dtype)
            model.set_submodule(name, fresh)
    if in_channels is not None:
        convolutions = ((name, layer) for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d))
        name, first = next(convolutions, ("", None))
        if first is None:
            raise UnskipError("the network has no convolution to give other channels; let its factory take in_channels")
        if first.in_channels != in_channels:
            if first.groups > 1:
                raise UnskipError(f"the first convolution, {name}, is grouped and cannot read {in_channels} channels")
            model.set_submodule(name, nn.Conv2d(**conv_settings(first, in_channels=in_channels)))


def _is_lazy(model: nn.Module) -> bool:
    return any(map(is_lazy, (*model.parameters(), *model.buffers())))
