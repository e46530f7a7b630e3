"""A file is kept when it computes what the network computes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unskip.answers import answer_names, named_answers, tensors_in, with_each, with_tensors
from unskip.errors import UnskipError
from unskip.runtimes import Program
from unskip.tasks import Answers, Predict, Score, Task

_BATCH = 32
_REFERENCE_IMAGES = 4
_ROUNDING = 1e-6  # of the largest value
_INTEGER_ROUNDING = 0.02  # of the largest value, on average: 8 bits have steps of 1/255, and rounding grows with depth


@dataclass(frozen=True)
class Agreement:
    """Differences relative to the largest absolute value of each tensor of the answers, and how far these agree.

    The differences are those of the tensor that differs most; ``agreement``, 0 to 1, is the task's. ``constant``: the
    network answers the same to every image, so that the agreement says nothing.
    """

    max_difference: float
    mean_difference: float
    agreement: float
    images: int
    constant: bool


@dataclass(frozen=True)
class Scores:
    """How well a network and its file do on the same test images."""

    net: Score
    file: Score

    @property
    def drop(self) -> float:
        """How much the file loses of the figure that decides, as a share of 1; below 0 where it is better."""
        return self.net.value - self.file.value


@dataclass(frozen=True)
class Quantization:
    """A network in 8 bits: its file after calibration, and, where there is one, after quantisation-aware training.

    The better of the two was kept. ``epochs`` are those of that training; ``note`` says why there is none although the
    first lost too much. ``requantized_additions`` are counted in the graph of the file: every one brings two maps of
    different scales to a third.
    """

    post_training: Score
    quantization_aware: Score | None
    epochs: int
    requantized_additions: int
    trained_is_kept: bool = False
    note: str = ""

    def describe(self) -> str:
        """The figures, the one that was kept last."""
        words = f"quantised after training {100 * self.post_training.value:.2f} %"
        if self.quantization_aware is not None:
            words += f", by training ({self.epochs} epochs) {100 * self.quantization_aware.value:.2f} %"
            words += f", the {'second' if self.trained_is_kept else 'first'} is kept"
        elif self.note:
            words += f", not trained in 8 bits: {self.note}"
        return f"{words}; {self.requantized_additions} additions requantise"


@dataclass(frozen=True)
class Exported:
    """A file that was written and proved.

    ``file_bytes`` counts all files that go where it runs. ``max_difference``, ``mean_difference``, ``agreement`` and
    ``constant`` are those of `Agreement` on ``images``. ``tolerance`` is None for 8 bits, where ``scores`` decide.
    ``quantized`` compares the file with the quantised network that it was written from, None where there is none.
    ``quantization`` says how the 8 bits came about, where they were scored.
    ``batch_size`` None means any. ``depth`` names the network in a file of several.
    """

    path: Path
    depth: str | None
    format: str
    runtime: str
    precision: str
    batch_size: int | None
    file_bytes: int
    max_difference: float
    mean_difference: float
    tolerance: float | None
    agreement: float
    images: int
    constant: bool
    scores: Scores | None
    quantized: Agreement | None = None
    quantization: Quantization | None = None

    def describe(self) -> str:
        """What was found, in a line."""
        takes = "any batch" if self.batch_size is None else f"batch {self.batch_size}"
        depth = f" at depth {self.depth}" if self.depth else ""
        allowed = "" if self.tolerance is None else f" (tolerance {self.tolerance:.0e})"
        words = [
            f"{self.path}{depth}: {self.file_bytes:,} bytes, {self.precision}, {takes}, run by {self.runtime}",
            f"differs by at most {self.max_difference:.1e} of the largest value{allowed}",
            f"agrees by {100 * self.agreement:.2f} % on {self.images} images",
        ]
        if self.constant:
            words[-1] += ", which says nothing: the network answers the same to every image and has learned nothing"
        if self.scores:
            file, net = (100 * score.value for score in (self.scores.file, self.scores.net))
            scored = self.scores.file
            words.append(f"{scored.metric} {file:.2f} %, the network {net:.2f} %, on {scored.images:,} images")
        return "; ".join(filter(None, [*words, self.eight_bits()]))

    def eight_bits(self) -> str:
        """What became of the 8 bits, in words; nothing for a file in float32."""
        words = []
        if self.quantized:
            words.append(f"the quantised network answers the same to {self.quantized.agreement:.2%} of the images")
        if self.quantization:
            words.append(self.quantization.describe())
        return "; ".join(words)


def answers_of(program: Program) -> Predict:
    """What a loaded file answers, as tensors."""
    return lambda images: with_each(torch.from_numpy, program(images.cpu().contiguous().numpy()))


def compare(net: Predict, file: Predict, images: Tensor, task: Task, *, free_batch: bool) -> Agreement:
    """Run both on all images (N, C, H, W); a file of a free batch size on one, on two, and on many at a time."""
    with torch.inference_mode():
        expected = _joined([net(batch) for batch in images.split(_BATCH)])
        try:
            if free_batch:
                file(images[:1].expand(2, -1, -1, -1))
            answers = _joined([file(batch) for batch in _batches(images)])
        except Exception as error:  # each runtime fails in ways of its own
            raise UnskipError(f"the exported file does not run: {error}") from error
    shapes = [{name: tuple(each.shape) for name, each in named_answers(side).items()} for side in (answers, expected)]
    if shapes[0] != shapes[1]:
        raise UnskipError(f"the exported file gives {shapes[0]}, not {shapes[1]}")
    pairs = list(zip(tensors_in(answers), tensors_in(expected), strict=True))
    differences = [_relative(*pair) for pair in pairs]
    return Agreement(
        max_difference=_largest([difference.max() for difference in differences]),
        mean_difference=_largest([difference.mean() for difference in differences]),
        agreement=task.agreement(answers, expected),
        images=len(images),
        constant=all(_is_constant(each, images) for _, each in pairs),
    )


def refuse_other_arithmetic(path: Path, program: Program, images: Tensor) -> None:
    """Raise `UnskipError` where a program does not give the very bits of the one that says what is right.

    Compared on the first of the images, which is slow; `compare` then runs the fast program on all.
    """
    if program.reference is None:
        return
    shown = images[:_REFERENCE_IMAGES].contiguous().numpy()
    pairs = zip(program.compute(shown), program.reference.compute(shown), strict=True)
    if not all(np.array_equal(*pair) for pair in pairs):
        raise UnskipError(
            f"{path} was not written: its integers, as they are computed here, are not those of the reference model; "
            "please report this with the network"
        )


def _joined(batches: list[Answers]) -> Answers:
    """The answers to several batches as those to one."""
    tensors = zip(*map(tensors_in, batches), strict=True)
    return with_tensors(answer_names(batches[0]), map(torch.cat, tensors))


def _relative(one: Tensor, other: Tensor) -> Tensor:
    return (one - other).abs() / other.abs().max().clamp_min(torch.finfo(torch.float32).tiny)


def _largest(differences: list[Tensor]) -> float:
    return torch.stack(differences).max().item()  # NaN, where there is one


def _is_constant(answers: Tensor, images: Tensor) -> bool:
    """Whether different images have the same answers, up to rounding."""
    if not bool((images != images[:1]).any()):
        return False
    spread = (answers.max(dim=0).values - answers.min(dim=0).values).max()
    return bool(spread <= _ROUNDING * answers.abs().max())


def compare_scores(net: Predict, file: Predict, batches: Iterable[tuple[Tensor, Tensor]], task: Task) -> Scores:
    """How well both do on batches of images and labels, gone through twice; `UnskipError` without any."""

    def score(predict: Predict) -> Score:
        return task.evaluate(predict, ((images.cpu(), labels.cpu()) for images, labels in batches))

    with torch.inference_mode():
        return Scores(score(net), score(file))


def _batches(images: Tensor) -> Iterator[Tensor]:
    """One image, full batches, and what remains: a file that has baked in a batch size cannot take them."""
    yield images[:1]
    if len(images) > 1:
        yield from images[1:].split(_BATCH)


def refuse_deviation(path: Path, proved: Agreement, tolerance: float) -> None:
    """Raise `UnskipError` where the answers differ by more than the tolerance."""
    if not proved.max_difference <= tolerance:  # NaN included
        raise UnskipError(
            f"{path} was not written: its answers differ from the network's by {proved.max_difference:.2g} of the "
            f"largest value, and {tolerance:.2g} is allowed; they agree by {proved.agreement:.1%} on "
            f"{proved.images} images"
        )


def has_other_integers(proved: Agreement | None) -> bool:
    """Whether a file does not compute what the quantised network does, but for rounding; not where there is none."""
    return proved is not None and not proved.mean_difference <= _INTEGER_ROUNDING  # NaN included


def refuse_other_integers(path: Path, proved: Agreement | None) -> None:
    """Raise `UnskipError` where a file does not compute what the quantised network does, but for rounding."""
    if proved is not None and has_other_integers(proved):
        raise UnskipError(
            f"{path} was not written: its answers differ from the quantised network's by {proved.mean_difference:.2g} "
            f"of the largest value on average, and {_INTEGER_ROUNDING:.2g} is allowed"
        )


def refuse_drop(path: Path, proved: Agreement, scores: Scores | None, max_drop: float) -> None:
    """Raise `UnskipError` where the file does too much worse than the network."""
    assert scores is not None, "8 bits are judged by their score"
    if not scores.drop <= max_drop:
        raise UnskipError(
            f"{path} was not written: in 8 bits its {scores.file.metric} is {scores.file.value:.2%}, {scores.drop:.2%} "
            f"below the network's {scores.net.value:.2%} on {scores.file.images:,} images, and "
            f"{max_drop:.2%} is allowed (`max_drop`); its answers agree by {proved.agreement:.1%}"
        )
