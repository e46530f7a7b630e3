"""Tasks of Ray, on the cluster that RAY_ADDRESS names, or on this machine.

Every node needs unskip, the images at the same path, and the study's folder on a shared file system. If a worker is
lost, its cell is started again and continues from its checkpoint. Cells end when the study does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import replace
from types import TracebackType
from typing import Any

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from unskip.errors import UnskipError
from unskip.study.engines.base import Engine
from unskip.study.task import Task, carry_out

_MANY = 10_000  # tasks that Ray's queue holds, so that a cluster that grows by its queue does


class Ray(Engine):
    """``cpus`` and ``gpus``: what each cell takes; by default one core, and one GPU where the cluster has any."""

    def __init__(
        self,
        *,
        jobs: PositiveInt | None = None,
        cpus: PositiveFloat = 1.0,
        gpus: NonNegativeFloat | None = None,
    ) -> None:
        super().__init__(jobs=jobs)
        try:
            import ray
        except ImportError:
            raise UnskipError("`on` ray needs Ray: pip install 'unskip[ray]'") from None
        self._ray: Any = ray
        self._cpus, self._gpus = cpus, gpus
        self._running: dict[Any, Task] = {}
        self._began = False

    @property
    def capacity(self) -> int:
        """What Ray cannot start yet waits in its queue."""
        return self.jobs or _MANY

    def __enter__(self) -> Ray:
        if not self._ray.is_initialized():
            os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # it warns of a default that will change
            elsewhere = {} if "RAY_ADDRESS" in os.environ else {"address": "local"}
            self._ray.init(**elsewhere, include_dashboard=False, log_to_driver=False, logging_level="error")
            self._began = True
        if self._gpus is None:
            self._gpus = 1.0 if self._ray.cluster_resources().get("GPU", 0) >= 1 else 0.0
        options = {"num_cpus": self._cpus, "num_gpus": self._gpus, "max_retries": 0, "name": "unskip"}
        self._carry_out = self._ray.remote(**options)(carry_out)
        return self

    def start(self, task: Task) -> None:
        """Hand it to Ray."""
        environment = {"OMP_NUM_THREADS": str(max(1, int(self._cpus)))}
        if not self._gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ""
        given = replace(task, environment=environment)
        self._running[self._carry_out.options(name=f"unskip {task.name}").remote(given)] = task

    def ended(self, seconds: float) -> Iterable[tuple[Task, int | None]]:
        """Those that Ray says have ended; without an exit code where it has lost their worker."""
        if not self._running:
            time.sleep(seconds)
            return []
        over, _ = self._ray.wait(list(self._running), num_returns=1, timeout=seconds)
        return [(self._running.pop(each), self._code(each)) for each in over]

    def _code(self, reference: Any) -> int | None:
        try:
            return int(self._ray.get(reference))
        except self._ray.exceptions.RayTaskError:
            raise
        except self._ray.exceptions.RayError:  # the worker, or its node, is gone
            return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        if self._began:
            self._ray.shutdown()
