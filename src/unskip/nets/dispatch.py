"""Looking at the operators that PyTorch runs, without its compiler."""

from __future__ import annotations

from torch.utils._python_dispatch import TorchDispatchMode


class Dispatch(TorchDispatchMode):
    """A `TorchDispatchMode` for networks that nobody compiles.

    PyTorch hides a mode's ``__torch_dispatch__`` from its compiler, and imports all of the compiler to do so: a second
    and a half, more than a command such as `unskip inspect` takes for the rest.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False
