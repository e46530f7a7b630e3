"""The one place that imports torchvision, so that its wheel also works beside a CPU-only torch.

A torchvision whose compiled extension does not fit the installed torch fails at import (``operator
torchvision::nms does not exist``), although its networks, transforms and datasets need no extension.
Declaring the two operators first makes the import work; where the extension loads, nothing is declared.
"""

from __future__ import annotations

from importlib.machinery import PathFinder
from importlib.util import find_spec

import torch

__all__ = ["datasets", "torchvision", "v2"]


def _extension_loads() -> bool:
    package = find_spec("torchvision")
    extension = package and PathFinder.find_spec("_C", list(package.submodule_search_locations or ()))
    if not extension or extension.origin is None:
        return False
    try:
        torch.ops.load_library(extension.origin)
    except OSError:
        return False
    return True


# Torch forgets the declarations when their library is collected, hence the name that keeps it.
_declared: torch.library.Library | None = None
if not _extension_loads() and not hasattr(torch.ops.torchvision, "nms"):
    _declared = torch.library.Library("torchvision", "FRAGMENT")
    for _operator in ("nms", "qnms"):
        _declared.define(f"{_operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import torchvision  # noqa: E402
from torchvision import datasets  # noqa: E402
from torchvision.transforms import v2  # noqa: E402
