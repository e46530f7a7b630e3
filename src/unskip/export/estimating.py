"""What devices' compilers say of networks that nobody has trained, without a file for the device."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from filelock import FileLock

from unskip.answers import answer_names
from unskip.errors import UnskipError, first_line
from unskip.export.file_export import for_cpu
from unskip.export.formats import format_for
from unskip.export.formats.base import Conversion, Format, flat
from unskip.files import atomic_paths, cache_folder
from unskip.nets import NetSpec
from unskip.own_code import own_module_of
from unskip.quiet import quiet
from unskip.records import Estimate
from unskip.runtimes import Configuration, Estimator, find_runtime
from unskip.surgery import build, fold_batchnorm, with_recalibrated_statistics

Shape = tuple[int, int, int]
_SEED = 0
_DECIDE = ("torch", "torchao", "torchvision", "timm", "executorch")  # what a graph is a function of


def estimate_untrained(spec: NetSpec, input_shape: Shape, device: Configuration) -> Estimate:
    """What one image of (channels, height, width) costs on a device, with random weights, a function of a fixed seed.

    From the cache where it was asked before; of several that ask the same, one compiles. Raises `UnskipError` where
    the network cannot be built, and where the device cannot run it.
    """
    place = _cached(spec, input_shape, device)
    if place is None:
        return _estimated(spec, input_shape, device)
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{place}.lock"):
        known = known_estimate(spec, input_shape, device)
        if known is not None:
            return known
        estimate = _estimated(spec, input_shape, device)
        with atomic_paths([place]) as (file,):
            file.write_text(estimate.model_dump_json())
    return estimate


def known_estimate(spec: NetSpec, input_shape: Shape, device: Configuration) -> Estimate | None:
    """The same from the cache alone; None where nobody has asked yet."""
    place = _cached(spec, input_shape, device)
    if place is None or not place.is_file():
        return None
    return Estimate.model_validate_json(place.read_bytes())


def _cached(spec: NetSpec, input_shape: Shape, device: Configuration) -> Path | None:
    """Where an estimate is kept; None for networks of a user's own module, whose code may change."""
    if own_module_of(spec.source) is not None:
        return None
    asked = {
        "net": spec.to_json(),
        "seed": _SEED,
        "input_shape": list(input_shape),
        "target": device.target,
        "setting": dict(device.setting),
        "compiler": find_runtime(device.runtime).version,
        "code": _own_code(),
        "versions": {package: _version(package) for package in _DECIDE},
    }
    key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    return cache_folder() / "estimates" / f"{key}.json"


@cache
def _own_code() -> str:
    """What sets this package's code apart from any other state of it: a graph is a function of it too."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def untrained_conversion(spec: NetSpec, input_shape: Shape, device: Configuration) -> Conversion:
    """A network with random weights as the format of a device gets it; its calibration images are random too."""
    images = torch.rand(4, *input_shape, generator=torch.Generator().manual_seed(0))
    # Without statistics of its own, maps of a random network vanish or explode on their way.
    net = with_recalibrated_statistics(build(spec, seed=_SEED).eval(), [images])
    ready = fold_batchnorm(for_cpu(net))
    with torch.no_grad():
        names = answer_names(ready(images[:1]))
    return Conversion(
        net=format_for_device(device).suited(ready if isinstance(names, str) else flat(ready)),
        input_shape=input_shape,
        batch_size=1,
        facts={},
        names=names,
        calibration=images,
        device=device,
    )


def _estimated(spec: NetSpec, input_shape: Shape, device: Configuration) -> Estimate:
    format_ = format_for_device(device)
    conversion = untrained_conversion(spec, input_shape, device)
    try:
        with quiet():
            return format_.estimate(conversion)
    except (UnskipError, OSError, MemoryError):
        raise
    except Exception as error:  # exporters fail in ways of their own
        raise UnskipError(f"{format_.name} files cannot hold this network ({first_line(error)})") from error


def format_for_device(device: Configuration) -> Format:
    """The format of the files for a device."""
    runtime = find_runtime(device.runtime)
    assert isinstance(runtime, Estimator)
    return format_for(Path(f"net{runtime.ending(device.target)}"))
