"""What a trained network must know of the images that it was trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from unskip.errors import UnskipError
from unskip.preprocessing import Preprocessing

__all__ = ["DataInfo"]


@dataclass(frozen=True)
class DataInfo:
    """What a network expects and answers.

    ``classes`` in the order of the logits, ``image_shape`` (channels, height, width), by channel the ``mean`` and
    ``std`` that images scaled to 0..1 are normalised with, and how tests bring an image to that shape, None where an
    earlier version wrote the file.
    """

    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    preprocessing: Preprocessing | None = None

    def to_json(self) -> dict[str, str]:
        """Names and JSON texts, as file headers take them."""
        facts = {name: json.dumps(getattr(self, name)) for name in ("classes", "image_shape", "mean", "std")}
        if self.preprocessing is not None:
            facts["preprocessing"] = json.dumps(self.preprocessing.to_json())
        return facts

    @classmethod
    def from_json(cls, header: Mapping[str, str], path: Path) -> DataInfo:
        """What :meth:`to_json` wrote; `UnskipError` naming the file when it is missing or damaged."""
        try:
            channels, height, width = json.loads(header["image_shape"])
            classes, mean, std = (tuple(json.loads(header[name])) for name in ("classes", "mean", "std"))
            how = json.loads(header["preprocessing"]) if "preprocessing" in header else None
            info = cls(
                classes, (channels, height, width), mean, std, None if how is None else Preprocessing.from_json(how)
            )
            info._check()
        except UnskipError as error:
            raise UnskipError(f"{path}: {error}") from error
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise UnskipError(
                f"{path} does not say which images it expects ({error}); only files that unskip wrote for a run do"
            ) from error
        return info

    def _check(self) -> None:
        """Raise `ValueError` for what no run writes."""
        if not all(isinstance(name, str) for name in self.classes) or len(self.classes) < 2:
            raise ValueError("classes are two names or more")
        if not all(type(side) is int and side > 0 for side in self.image_shape):
            raise ValueError(f"image_shape is {self.image_shape}")
        channels = self.image_shape[0]
        if not len(self.mean) == len(self.std) == channels:
            raise ValueError(f"mean and std are not of {channels} channels")
        if not all(isinstance(value, float | int) and abs(value) < 1e6 for value in (*self.mean, *self.std)):
            raise ValueError(f"mean and std are {self.mean} and {self.std}")
        if not all(value > 0 for value in self.std):
            raise ValueError(f"std is {self.std}")
        if self.preprocessing is not None and self.preprocessing.image_shape != self.image_shape:
            raise ValueError(f"image_shape is {self.image_shape}, but preprocessing gives another")
