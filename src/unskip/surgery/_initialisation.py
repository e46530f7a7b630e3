"""The initialisation that a block needs once its shortcut is gone.

Networks with shortcuts often start each block as its shortcut alone: the last gamma of a body at zero (timm's
``zero_init_last``, torchvision's ``zero_init_residual``), a scale of the branch at zero or next to it (ReZero,
SkipInit, LayerScale, gates), or its last convolution at zero (Fixup). Without the shortcut nothing passes such a block,
neither images nor gradients.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from unskip.nets.dirac import DiracConv2d
from unskip.surgery._series import Factor, Layer, in_series

_SMALL = 0.1  # LayerScale starts between 1e-6 and this
_TINY = 1e-3


@torch.no_grad()
def initialise_as_plain(net: nn.Module, places: Iterable[str], *, seed: int) -> None:
    """Start blocks that have lost their shortcuts as plain ones, in place: for networks that nobody has trained.

    Gammas and scales that everything in a block passes and that all start at one small number, at most 0.1, become 1.
    Convolutions and linear layers that start at zero are drawn again as their class does, by ``seed``. A number below 1
    that a block ends with, as in nets without normalisation, is made up for by its last gamma, gain or kernel. Whatever
    else a block has stays, bit by bit.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for place in places:
            passed = list(in_series(net.get_submodule(place), place))
            for each in passed:
                for scale in _scales(each).values():
                    if _is_one_small_number(scale):
                        scale.fill_(1)
                if isinstance(each, Layer):
                    _initialise_product(each.module)
            _make_up_for_numbers(passed)


def tiny_scales(net: nn.Module) -> Iterator[str]:
    """The gammas, scales and kernels in series that let hardly anything pass, by name, in order: all at most 0.001."""
    for passed in in_series(net):
        scales = _scales(passed)
        if isinstance(passed, Layer) and _is_product(passed.module):
            scales = {f"{passed.place}.{name}": each for name, each in _gains_and_kernel(passed.module).items()}
        yield from (name for name, each in scales.items() if bool((each.detach().abs() <= _TINY).all()))


def _scales(passed: Layer | Factor) -> dict[str, nn.Parameter]:
    """The numbers, for each channel or for all of them, that a map is multiplied with, by name: gammas and scales.

    What makes a factor that is not small now, such as 1 + weight, is none.
    """
    if isinstance(passed, Factor):
        small = not passed.value.is_meta and bool((passed.value.abs() <= _SMALL).all())
        return dict(passed.parameters) if small else {}
    weight = passed.module._parameters.get("weight")
    is_norm = isinstance(passed.module, nn.LayerNorm | nn.RMSNorm) or (weight is not None and weight.dim() == 1)
    if weight is None or not is_norm or isinstance(passed.module, nn.PReLU):
        return {}
    return {f"{passed.place}.weight": weight}


def _is_product(module: nn.Module) -> bool:
    return isinstance(module, _ConvNd | nn.Linear) and not isinstance(module, DiracConv2d)


def _gains_and_kernel(layer: nn.Module) -> dict[str, nn.Parameter]:
    """What scales the output of a convolution or a linear layer: gains, as of standardised weights, then its kernel."""
    parameters = dict(layer.named_parameters())
    channels = getattr(layer, "out_channels", getattr(layer, "out_features", 0))
    kernel = parameters.pop("weight", None)
    parameters.pop("bias", None)
    gains = {name: each for name, each in parameters.items() if each.numel() in (1, channels)}
    return gains if kernel is None else {**gains, "weight": kernel}


def _initialise_product(layer: nn.Module) -> None:
    """Let a convolution or a linear layer that starts at zero start as its class does, and its gains with one."""
    if not _is_product(layer):
        return
    for name, each in _gains_and_kernel(layer).items():
        if name != "weight" and _is_one_small_number(each) and not _passes(layer):
            each.fill_(1)
        elif name == "weight" and not each.is_meta and not bool(each.any()):
            twin = copy.deepcopy(layer)
            assert isinstance(twin, _ConvNd | nn.Linear)
            twin.reset_parameters()
            each.copy_(twin.weight)


def _passes(layer: nn.Module) -> bool:
    """Whether what a layer gives depends on what it is given."""
    if isinstance(layer, _ConvNd):
        sides = zip(layer.kernel_size, layer.dilation, strict=True)
        given = (layer.in_channels, *((size - 1) * gap + 1 for size, gap in sides))
    else:
        assert isinstance(layer, nn.Linear)
        given = (layer.in_features,)
    first, second = layer(torch.randn(2, *given, device=layer.weight.device, dtype=layer.weight.dtype))
    return bool((first - second).abs().max() > _TINY)


def _make_up_for_numbers(passed: Sequence[Layer | Factor]) -> None:
    """Multiply a block's last scale by what the numbers behind it take away."""
    number = 1.0
    for each in reversed(passed):
        if isinstance(each, Factor) and not each.parameters and each.value.numel() == 1 and not each.value.is_meta:
            number *= abs(float(each.value))
        scales = list(_scales(each).values())
        if not scales and isinstance(each, Layer) and _is_product(each.module):
            scales = list(_gains_and_kernel(each.module).values())
        if scales:
            if 0 < number < 1:
                scales[0].mul_(1 / number)
            return


def _is_one_small_number(parameter: Tensor) -> bool:
    if parameter.is_meta or not parameter.numel():
        return False
    first = parameter.flatten()[0]
    return bool((parameter == first).all()) and abs(float(first)) <= _SMALL
