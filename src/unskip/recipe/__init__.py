"""One run as frozen, strict data: YAML in, YAML out.

A recipe says everything that decides a run's result: data, teacher, student, methods, training, what is exported and
measured, and the seed. Unknown keys and wrong types are errors that name the nearest right key.
"""

from __future__ import annotations

from unskip.stubs import named_by_stub

__all__, __getattr__, __dir__ = named_by_stub(__name__, __file__)
