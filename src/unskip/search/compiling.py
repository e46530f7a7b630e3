"""Networks compiled for a device that is not here, in as many processes as there are cores."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack

from unskip.errors import UnskipError
from unskip.export import known_estimate
from unskip.nets import NetSpec
from unskip.own_code import allowed_modules
from unskip.processes import AnsweringProcess, num_cores, own_command
from unskip.records import Estimate
from unskip.runtimes import Configuration

COMMAND = own_command("unskip.search._compiler")
PATIENCE_SECONDS = 3600.0  # for one network
Shape = tuple[int, int, int]
Compiled = Callable[[int, int], None]
"""Is told how many networks are compiled, and of how many."""


def compile_all(
    specs: Sequence[NetSpec], input_shape: Shape, device: Configuration, *, compiled: Compiled = lambda done, of: None
) -> list[Estimate | UnskipError]:
    """What a device's compiler says of untrained networks, or why it says nothing, in their order.

    What is known already is not asked again. A process that is killed costs the network that it was compiling, no other
    one; all end with this call, whatever ends it.
    """
    answers: dict[int, Estimate | UnskipError] = {}
    for place, spec in enumerate(specs):
        known = known_estimate(spec, input_shape, device)
        if known is not None:
            answers[place] = known
    places: queue.SimpleQueue[int] = queue.SimpleQueue()
    for place in range(len(specs)):
        if place not in answers:
            places.put(place)
    compiled(len(answers), len(specs))
    if not places.empty():
        pool = _Pool(specs, input_shape, device, places, answers, lambda: compiled(len(answers), len(specs)))
        pool.work(min(num_cores(), len(specs) - len(answers)))
    return [answers[place] for place in range(len(specs))]


class _Pool:
    """Threads with a process each, which take networks from a queue until it is empty."""

    def __init__(
        self,
        specs: Sequence[NetSpec],
        input_shape: Shape,
        device: Configuration,
        places: queue.SimpleQueue[int],
        answers: dict[int, Estimate | UnskipError],
        answered: Callable[[], None],
    ) -> None:
        self._specs = specs
        self._device = device
        self._left = places
        self._answers = answers
        self._answered = answered
        self._setting = {
            "allowed": allowed_modules(),
            "device": {"runtime": device.runtime, "target": device.target, "setting": dict(device.setting)},
            "input_shape": list(input_shape),
        }
        self._lock = threading.Lock()
        self._processes = ExitStack()
        self._stopped = False

    def work(self, num_processes: int) -> None:
        """Compile until nothing is left."""
        with ThreadPoolExecutor(num_processes) as threads:
            try:
                started = [threads.submit(self._compile) for _ in range(num_processes)]
                for each in wait(started, return_when=FIRST_EXCEPTION).done:
                    each.result()
            finally:  # Ctrl-C too, and before the threads are waited for
                with self._lock:
                    self._stopped = True
                    self._processes.close()

    def _compile(self) -> None:
        process: AnsweringProcess | None = None
        while True:
            try:
                place = self._left.get_nowait()
            except queue.Empty:
                return
            if process is None or process.is_gone:
                process = self._started()
                if process is None:
                    return
            process.tell(self._specs[place].to_json())
            try:
                self._answers[place] = Estimate.model_validate(process.answer()["estimate"])
            except UnskipError as error:
                self._answers[place] = error
            self._answered()

    def _started(self) -> AnsweringProcess | None:
        """A process that is told what is to be known before a network; None where all is to end."""
        with self._lock:
            if self._stopped:
                return None
            subject = f"the process that compiles for {self._device.target}"
            process = self._processes.enter_context(
                AnsweringProcess(COMMAND, subject, threads=1, patience_seconds=PATIENCE_SECONDS)
            )
        process.tell(self._setting)
        return process
