"""Write a network for deployment. A format is one file here and one line in `FORMATS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from unskip.errors import UnskipError
from unskip.export.onnx import Exported, export_onnx
from unskip.nets import StagedNet

__all__ = ["FORMATS", "Exported", "export_net", "export_onnx"]

FORMATS: Mapping[str, Callable[..., Exported]] = {".onnx": export_onnx}


def export_net(net: StagedNet, path: str | Path, images: Tensor, **settings: Any) -> Exported:
    """Write a network in the format that the file's ending names; prove it on images (N, C, H, W).

    ``settings`` are the format's own, see its function. Raises `UnskipError` for an unknown ending, and when
    the file does not compute what the network computes; no file is written then.
    """
    ending = Path(path).suffix.lower()
    if ending not in FORMATS:
        raise UnskipError(f"no export format for {str(path)!r}; known endings: {', '.join(FORMATS)}")
    return FORMATS[ending](net, Path(path), images, **settings)
