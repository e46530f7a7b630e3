"""Processes on this machine.

One cell per core, with one thread each; on a machine with GPUs, one cell per GPU. Cells end when the study does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from types import TracebackType

from pydantic import PositiveInt

from unskip.processes import num_cores
from unskip.study.engines.base import Engine
from unskip.study.task import Task, TaskProcess

_BETWEEN = 0.2  # seconds between looks at the processes


class Local(Engine):
    """``threads``: of each cell, by default one; where GPUs compute, its share of the cores."""

    measures_here = True

    def __init__(self, *, jobs: PositiveInt | None = None, threads: PositiveInt | None = None) -> None:
        super().__init__(jobs=jobs)
        self._gpus = _visible_gpus()
        self._capacity = jobs or len(self._gpus) or num_cores()
        self.threads = threads or (max(1, num_cores() // self._capacity) if self._gpus else 1)
        self._running: dict[int, tuple[Task, TaskProcess]] = {}  # by their slots

    @property
    def capacity(self) -> int:
        """One for each core or GPU."""
        return self._capacity

    def start(self, task: Task) -> None:
        """Start its process in the first slot that is free."""
        slot = next(slot for slot in range(self._capacity) if slot not in self._running)
        threads = str(self.threads)
        environment = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "OMP_WAIT_POLICY": "PASSIVE"}
        if self._gpus and not task.launch:  # a launcher of several processes divides the GPUs itself
            environment["CUDA_VISIBLE_DEVICES"] = self._gpus[slot % len(self._gpus)]
        self._running[slot] = task, TaskProcess(task, environment)

    def ended(self, seconds: float) -> Iterable[tuple[Task, int | None]]:
        """Those whose processes have."""
        until = time.monotonic() + seconds
        while True:
            over = {slot: process.poll() for slot, (_, process) in self._running.items()}
            over = {slot: code for slot, code in over.items() if code is not None}
            if over or time.monotonic() >= until:
                return [(self._running.pop(slot)[0], code) for slot, code in over.items()]
            time.sleep(_BETWEEN)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for _, process in self._running.values():
            process.end()


def _visible_gpus() -> list[str]:
    """The GPUs as CUDA_VISIBLE_DEVICES names them."""
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(index) for index in range(torch.cuda.device_count())]
