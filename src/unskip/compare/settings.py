"""In which settings things are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from unskip.errors import UnskipError, nearest
from unskip.runtimes import Configuration, Estimator, find_runtime


@dataclass(frozen=True)
class Settings:
    """In which settings subjects are compared: every runtime with every number of threads and every batch size.

    ``repeats`` rounds are shared by ``processes`` launches of each file's process. Without ``timed``, nothing is run
    but for its answers. ``quick``: measures that take long are left out. For each of ``devices``, which are not here,
    its compiler estimates what one image costs.
    """

    runtimes: Sequence[str] = ("onnxruntime",)
    threads: Sequence[int] = (1,)
    batch_sizes: Sequence[int] = (1,)
    device: str = "cpu"
    repeats: int = 50
    processes: int = 3
    timed: bool = True
    quick: bool = False
    devices: Sequence[Configuration] = ()

    def check(self) -> None:
        """Raise `UnskipError` for a runtime or a device that is not there, before anything takes time."""
        if not (self.runtimes or self.devices) or not (self.threads and self.batch_sizes):
            raise UnskipError("name at least one runtime, one number of threads and one batch size")
        if min(*self.threads, *self.batch_sizes, self.repeats, self.processes) < 1:
            raise UnskipError("threads, batch sizes, rounds and processes are whole numbers of 1 or more")
        if self.device not in ("cpu", "cuda"):
            raise UnskipError(f"no device {self.device!r}{nearest(self.device, ('cpu', 'cuda'))} (cpu or cuda)")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise UnskipError("there is no CUDA device here that PyTorch sees; without `device` the CPU is measured")
        for name in self.runtimes:
            runtime = find_runtime(name)
            runtime.require()
            if isinstance(runtime, Estimator):
                raise UnskipError(f"{runtime.title} is no runtime of this machine; name a device with `target`")
            if self.device not in runtime.devices:
                raise UnskipError(
                    f"{runtime.title} runs on {' and '.join(runtime.devices)} here, not on {self.device}; "
                    "leave it out of `runtime`"
                )
