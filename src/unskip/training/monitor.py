"""What a training shows and writes down while it runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from unskip.errors import UnskipError
from unskip.files import read_json_lines, write_text
from unskip.units import duration

_LONG = 60.0  # seconds that are worth saying how many are left

OnEpoch = Callable[[Mapping[str, Any]], object]
"""What takes the record of an epoch, such as a function that hands it to an experiment tracker."""


class Monitor:
    """A progress bar with images/s, the loss's terms and the time left; ``metrics.jsonl``; TensorBoard if asked for.

    Without a terminal a line per epoch is printed instead of the bar. ``on_epoch`` gets what a line of the metrics says
    after every epoch: a mapping with ``net``, which is the label, and what `unskip.training.fit.fit` records.
    """

    def __init__(
        self,
        label: str,
        console: Console,
        metrics: Path | None = None,
        tensorboard: Path | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> None:
        self.label = label
        self.console = console
        self.metrics = metrics
        self._on_epoch = on_epoch
        self._events = _tensorboard_writer(tensorboard / label) if tensorboard else None
        self._bar = _Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task(label, total=None, detail="")
        self._shown = time.monotonic()
        self._epochs = self._steps_per_epoch = 1
        self._score = ""

    def __enter__(self) -> Monitor:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        if self._events is not None:
            self._events.close()

    def start(self, epochs: int, steps_per_epoch: int, steps_done: int, history: list[dict[str, Any]]) -> None:
        """A training begins, or goes on after ``steps_done`` steps with the epochs of ``history``."""
        self._epochs, self._steps_per_epoch = epochs, steps_per_epoch
        self._bar.update(self._task, total=epochs * steps_per_epoch, completed=steps_done)
        if steps_done:
            whole = min(steps_done // steps_per_epoch, epochs - 1)
            self.console.print(
                f"  {self.label}: going on in epoch {whole + 1}/{epochs}, "
                f"{steps_done - whole * steps_per_epoch} of {steps_per_epoch} steps of it done",
                highlight=False,
            )
        if self.metrics is not None and self.metrics.exists():
            kept = [row for row in read_json_lines(self.metrics) if row["net"] != self.label]
            kept += [self._row(record) for record in history]
            write_text(self.metrics, "".join(json.dumps(row) + "\n" for row in kept))

    def say(self, text: str) -> None:
        """A line about this training."""
        self.console.print(f"{self.label}: {text}", highlight=False)

    def preparing(self, text: str) -> None:
        """How far the start of this training is; without a terminal once a minute."""
        self._bar.update(self._task, description=f"  {self.label}  {text}")
        if not self.console.is_terminal and time.monotonic() - self._shown > _LONG:
            self.console.print(f"  {self.label}  {text}", highlight=False)
            self._shown = time.monotonic()

    def wants_terms(self) -> bool:
        """Whether the bar is due for new numbers; reading them waits for the device."""
        return not self._bar.disable and time.monotonic() - self._shown > 0.25

    def step(self, steps_done: int, images_per_second: float, terms: Mapping[str, float]) -> None:
        """So many steps are done; the numbers are the last step's."""
        numbers = "  ".join(f"{name} {value:.3f}" for name, value in terms.items())
        epoch = min(steps_done // self._steps_per_epoch + 1, self._epochs)
        self._bar.update(
            self._task,
            completed=steps_done,
            description=f"  {self.label}  epoch {epoch}/{self._epochs}",
            detail=f"  {images_per_second:,.0f} images/s  {numbers}{self._score}",
        )
        self._shown = time.monotonic()

    def epoch(self, record: Mapping[str, Any]) -> None:
        """An epoch ended."""
        if self.metrics is not None:
            self.metrics.parent.mkdir(parents=True, exist_ok=True)
            with open(self.metrics, "a", encoding="utf-8") as file:
                file.write(json.dumps(self._row(record)) + "\n")
        if self._events is not None:
            for name, value in _scalars(record).items():
                self._events.add_scalar(name, value, record["epoch"])
        score = "" if record["score"] is None else f"  score {100 * record['score']:.2f} %"
        self._score = score or self._score
        left = record["seconds"] / record["epoch"] * (self._epochs - record["epoch"])
        line = (
            f"  {self.label}  epoch {record['epoch']}/{self._epochs}  loss {record['loss']:.4f}{score}"
            f"  {record['images_per_second']:,.0f} images/s  {record['seconds']:.0f} s"
            f"{f', about {duration(left)} left' if left > _LONG else ''}"
        )
        if not self.console.is_terminal:
            self.console.print(line, highlight=False)
        elif record["epoch"] == self._epochs:
            self._bar.console.print(line, highlight=False)
        if self._on_epoch is not None:
            self._on_epoch(self._row(record))

    def _row(self, record: Mapping[str, Any]) -> dict[str, Any]:
        return {"net": self.label, **record}


class _Bar(Progress):
    """A bar, and below it a line of numbers that is cut rather than wrapped."""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        for task in self.tasks:
            yield Text(task.fields["detail"], no_wrap=True, overflow="ellipsis")


def _scalars(record: Mapping[str, Any]) -> dict[str, float]:
    flat = {name: value for name, value in record.items() if isinstance(value, int | float) and name != "epoch"}
    return flat | {f"terms/{name}": value for name, value in record["terms"].items()}


def _tensorboard_writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UnskipError("training.tensorboard needs the extra: pip install 'unskip[tensorboard]'") from error
    return SummaryWriter(str(folder))
