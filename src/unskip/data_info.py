"""What a trained network must know of the images that it was trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, PositiveFloat, PositiveInt, TypeAdapter, ValidationError

from unskip.errors import UnskipError
from unskip.files import parse_json
from unskip.preprocessing import Preprocessing


@dataclass(frozen=True)
class DataInfo:
    """What a network expects and answers.

    ``classes`` in the order of the logits, none where it was trained without labels, ``image_shape`` (channels, height,
    width), by channel the ``mean`` and ``std`` that images scaled to 0..1 are normalised with, and how tests bring an
    image to that shape, None where an earlier version wrote the file.
    """

    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    preprocessing: Preprocessing | None = None

    def to_json(self) -> dict[str, str]:
        """Names and JSON texts, as file headers take them."""
        facts = {name: json.dumps(getattr(self, name)) for name in _FIELDS}
        if self.preprocessing is not None:
            facts["preprocessing"] = json.dumps(self.preprocessing.to_json())
        return facts

    @classmethod
    def from_json(cls, header: Any, path: Path) -> DataInfo:
        """What :meth:`to_json` wrote; `UnskipError` naming the file when it is missing or damaged."""
        read = {name: _read(header, name, path) for name in _FIELDS}
        channels = read["image_shape"][0]
        if len(read["mean"]) != channels or len(read["std"]) != channels:
            raise UnskipError(f"{path}: mean and std in its header are not one for each of {channels} channels")
        return cls(**read, preprocessing=_preprocessing_in(header, read["image_shape"], path))


def image_shape_in(header: Any, path: Path) -> tuple[int, int, int]:
    """The shape (channels, height, width) alone, which files without classes have too; `UnskipError` as above."""
    shape: tuple[int, int, int] = _read(header, "image_shape", path)
    return shape


def _preprocessing_in(header: Any, image_shape: tuple[int, int, int], path: Path) -> Preprocessing | None:
    if "preprocessing" not in header:
        return None
    data = parse_json(header["preprocessing"], f"{path}: preprocessing")
    try:
        how = Preprocessing.from_json(data)
    except UnskipError as error:
        raise UnskipError(f"{path}: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnskipError(f"{path}: preprocessing in its header is damaged: {error!r}") from error
    if how.image_shape != image_shape:
        raise UnskipError(f"{path}: image_shape in its header is {image_shape}, preprocessing gives {how.image_shape}")
    return how


def _read(header: Any, name: str, path: Path) -> Any:
    text = header.get(name) if isinstance(header, Mapping) else None
    if not isinstance(text, str):
        raise UnskipError(
            f"{path} does not say which images it expects ({name!r} is missing); only files that unskip wrote for a "
            "run do"
        )
    fitting, expected = _FIELDS[name]
    value = parse_json(text, f"{path}: {name}")
    try:
        return fitting.validate_python(tuple(value) if isinstance(value, list) else value)
    except ValidationError as error:
        raise UnskipError(f"{path}: {name} in its header is {text[:60]}; expected {expected}") from error


_MOST_CHANNELS, _MOST_PIXELS = 4096, 2**26  # of an image; beyond, a header is wrong


def _small_enough(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    if shape[0] > _MOST_CHANNELS or shape[1] * shape[2] > _MOST_PIXELS:
        raise ValueError
    return shape


_STRICT = ConfigDict(strict=True, allow_inf_nan=False)
_Shape = Annotated[tuple[PositiveInt, PositiveInt, PositiveInt], AfterValidator(_small_enough)]
_FIELDS: Mapping[str, tuple[TypeAdapter[Any], str]] = {
    "classes": (TypeAdapter(tuple[str, ...], config=_STRICT), "the names of the classes"),
    "image_shape": (TypeAdapter(_Shape, config=_STRICT), "channels, height and width of an image"),
    "mean": (TypeAdapter(tuple[float, ...], config=_STRICT), "a number for each channel"),
    "std": (TypeAdapter(tuple[PositiveFloat, ...], config=_STRICT), "a number above 0 for each channel"),
}
