"""Train with shortcuts, deploy without.

`unskip` removes the shortcut connections of residual CNNs, trains the plain network by knowledge distillation so that
it keeps its accuracy, exports it, and measures on the exported file what was gained. What is public is in __init__.pyi,
for readers, for type checkers, and for what imports a name when it is first used: `unskip --help` waits for no torch.
"""

from __future__ import annotations

from unskip.stubs import named_by_stub

__all__, __getattr__, __dir__ = named_by_stub(__name__, __file__)
