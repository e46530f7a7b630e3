"""Deployed files timed side by side: fresh processes that each run one of them, and rounds in which they take turns."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack

from unskip.errors import UnskipError
from unskip.measures import Timing
from unskip.processes import AnsweringProcess, own_command
from unskip.runtimes._worker import Job

__all__ = ["Job", "Worker", "measure_files"]

COMMAND = own_command("unskip.runtimes._worker")
PATIENCE_SECONDS = 300.0  # for one answer


class Worker(AnsweringProcess):
    """A process of its own for one file."""

    def __init__(
        self, job: Job, *, command: Sequence[str] = COMMAND, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        subject = f"the process that runs {job.path} in {job.runtime}"
        super().__init__(command, subject, threads=job.threads, patience_seconds=patience_seconds)
        self.tell(job.to_json())


def measure_files(jobs: Mapping[str, Job], *, repeats: int = 50, processes: int = 3) -> dict[str, Timing | UnskipError]:
    """Run files side by side, under the names given; what could not be run has its `UnskipError` in its place.

    Every file runs in ``processes`` fresh processes, one after the other, which are warmed up until their times are
    steady and share the ``repeats`` rounds, the first ones taking what is over. In every round the files take turns,
    each round starting with another one, so that a change in the machine's load or clock meets them all alike: while
    one process runs, the others wait for their pipe. A sample is the mean over as many calls as it takes to last five
    milliseconds, after two that do not count. Threads that wait do not spin, where the runtime allows it.
    """
    timings: dict[str, Timing | UnskipError] = {name: Timing() for name in jobs}
    processes = min(processes, repeats)
    for launch in range(processes):
        left = [name for name, timing in timings.items() if isinstance(timing, Timing)]
        with ExitStack() as stack:
            workers = {name: stack.enter_context(Worker(jobs[name])) for name in left}
            _play(workers, timings, repeats // processes + (launch < repeats % processes))
    return timings


def _play(workers: Mapping[str, Worker], timings: dict[str, Timing | UnskipError], rounds: int) -> None:
    """Have the processes take turns and note their answers; who gives an error is not asked again."""

    def ask(names: Iterable[str], command: str | None = None) -> None:
        for name in names:
            timing = timings[name]
            if isinstance(timing, UnskipError):
                continue
            try:
                if command is not None:
                    workers[name].tell(command)
                answer = workers[name].answer()
            except UnskipError as error:
                timings[name] = error
                continue
            if command == "sample":
                timing.milliseconds.append(answer["ms"])
            elif command == "memory":
                timing.resident_rise_bytes.append(answer["resident_rise_bytes"])
                timing.device_peak_bytes.append(answer["device_peak_bytes"])

    ask(workers)  # all load their files at the same time, and nothing else
    ask(workers, "warm_up")
    order = deque(workers)
    for _ in range(rounds):
        ask(order, "sample")
        order.rotate(-1)
    ask(workers, "memory")
