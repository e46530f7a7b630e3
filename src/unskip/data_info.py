"""What a trained network must know of the images that it was trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from unskip.errors import UnskipError

__all__ = ["DataInfo"]


@dataclass(frozen=True)
class DataInfo:
    """What a network expects and answers.

    ``classes`` in the order of the logits, ``image_shape`` (channels, height, width), and by channel the ``mean`` and
    ``std`` that images scaled to 0..1 are normalised with.
    """

    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def to_json(self) -> dict[str, str]:
        """Names and JSON texts, as file headers take them."""
        return {name: json.dumps(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, header: Mapping[str, str], path: Path) -> DataInfo:
        """What :meth:`to_json` wrote; `UnskipError` naming the file when it is missing or damaged."""
        try:
            channels, height, width = json.loads(header["image_shape"])
            classes, mean, std = (tuple(json.loads(header[name])) for name in ("classes", "mean", "std"))
        except (KeyError, TypeError, ValueError) as error:
            raise UnskipError(
                f"{path} does not say which images it expects ({error}); only files that unskip wrote for a run do"
            ) from error
        return cls(classes, (channels, height, width), mean, std)
