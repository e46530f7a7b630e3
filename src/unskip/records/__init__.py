"""What ``run.json``, ``shrink.json``, ``study.json`` and a benchmark's JSON file hold, as typed data; no torch.

The names are in ``__init__.pyi``. What one command reads of them is little, and making all the classes takes time.
"""

from __future__ import annotations

from unskip.stubs import named_by_stub

__all__, __getattr__, __dir__ = named_by_stub(__name__, __file__)
