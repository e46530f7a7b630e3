"""torch's table of ONNX translations, made once in a process instead of once in an export."""

from __future__ import annotations

import functools


@functools.cache
def share_translations() -> None:
    """Let all exports of this process share the table: making it takes 0.7 s, as long as exporting a small network.

    torch 2.11 to 2.13 make it anew every time, of source code that they parse. Where another version does so elsewhere,
    exports take as long as they did.
    """
    from torch.onnx._internal.exporter import _registration

    registry = getattr(_registration, "ONNXRegistry", None)
    make = getattr(registry, "from_torchlib", None)
    if registry is not None and make is not None:
        registry.from_torchlib = staticmethod(functools.cache(make))
