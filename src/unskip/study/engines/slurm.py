"""Jobs of SLURM, by submitit.

The study's folder and the images must be on a file system that all nodes share. A job that hits its time limit or is
preempted is submitted again and continues from its checkpoint. When the study's command is stopped, its jobs go on;
the same command finds them again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from pydantic import NonNegativeInt, PositiveInt

from unskip.errors import UnskipError, first_line
from unskip.files import write_json
from unskip.study.engines.base import Engine
from unskip.study.task import Task, carry_out

_MANY = 1_000
_BETWEEN = 1.0  # seconds between looks at the jobs


class Slurm(Engine):
    """``cpus``, ``gpus`` and ``minutes``: what each job gets. ``executor`` local runs jobs here, to try a study out.

    Other settings are submitit's, such as slurm_partition, slurm_account or mem_gb.
    """

    def __init__(
        self,
        *,
        jobs: PositiveInt | None = None,
        cpus: PositiveInt = 1,
        gpus: NonNegativeInt = 0,
        minutes: PositiveInt = 24 * 60,
        executor: Literal["slurm", "local"] = "slurm",
        **options: Any,
    ) -> None:
        super().__init__(jobs=jobs)
        try:
            import submitit
        except ImportError:
            raise UnskipError("`on` slurm needs submitit: pip install 'unskip[slurm]'") from None
        self._submitit: Any = submitit
        self._kind = executor
        resources = {"cpus_per_task": cpus, "gpus_per_node": gpus, "timeout_min": minutes}
        self._settings = {"name": "unskip", "tasks_per_node": 1, **resources, **options}
        self._executors: dict[Path, Any] = {}
        self._running: dict[str, tuple[Task, Any]] = {}  # by the numbers of their jobs

    @property
    def capacity(self) -> int:
        """What the cluster cannot start yet waits in its queue."""
        return self.jobs or _MANY

    def start(self, task: Task) -> None:
        """Submit its job, and note its number beside the log."""
        given = replace(task, environment={"OMP_NUM_THREADS": str(self._settings["cpus_per_task"])})
        job = self._executor(task).submit(carry_out, given)
        write_json(_note(task), {"job": job.job_id})
        self._running[job.job_id] = task, job

    def ended(self, seconds: float) -> Iterable[tuple[Task, int | None]]:
        """Those whose jobs are over; without an exit code where a job ended without its result."""
        until = time.monotonic() + seconds
        while True:
            over = [number for number, (_, job) in self._running.items() if job.done()]
            if over or time.monotonic() >= until:
                break
            time.sleep(min(_BETWEEN, seconds))
        return [(task, _code(job)) for task, job in map(self._running.pop, over)]

    def found_again(self, tasks: Iterable[Task]) -> list[Task]:
        """Those whose jobs wait or run."""
        tasks_left = []
        for task in tasks:
            with suppress(OSError, ValueError, KeyError):
                number = str(json.loads(_note(task).read_text(encoding="utf-8"))["job"])
                executor = self._executor(task)
                job = executor.job_class(folder=executor.folder, job_id=number)
                if not job.done(force_check=True) and job.state not in ("UNKNOWN", "NO PROCESS AND NO RESULT"):
                    self._running[number] = task, job
                    tasks_left.append(task)
        return tasks_left

    def _executor(self, task: Task) -> Any:
        folder = task.log.parent / "jobs"
        if folder not in self._executors:
            try:
                executor = self._submitit.AutoExecutor(folder=folder, cluster=self._kind)
                executor.update_parameters(**self._settings)
            except (RuntimeError, ValueError, TypeError, NameError) as error:  # no sbatch here, no such setting
                raise UnskipError(f"the engine slurm: {first_line(error)}") from error
            self._executors[folder] = executor._executor
        return self._executors[folder]

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Jobs of a cluster go on, those on this machine end."""
        if self._kind == "local":
            for _, job in self._running.values():
                job.cancel(check=False)


def _note(task: Task) -> Path:
    return task.log.with_suffix(".job")


def _code(job: Any) -> int | None:
    try:
        return int(job.result())
    except Exception:  # submitit raises several kinds where a job was killed, timed out or preempted
        return None
