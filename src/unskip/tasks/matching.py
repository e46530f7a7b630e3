"""No labels: any tensors, or dicts, lists and tuples of them, against the teacher's; explained variance decides."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from unskip.answers import named_answers
from unskip.errors import UnskipError
from unskip.losses import relative_squared_error
from unskip.tasks.base import Answers, Predict, Score, Task

_ROUNDING = 1e-12  # of the squares of answers that do not vary: what float32 may make of equal numbers


@dataclass(frozen=True)
class Matching(Task):
    """A network answers as its teacher does.

    ``teacher`` is whose answers count in :meth:`evaluate`. ``score`` is the user's own: it takes a network in eval mode
    and gives a share from 0 to 1, a figure beside; a deployed file has none.

    The figure that decides, ``agreement``, is the mean over the tensors of ``1 - sum (s - t)^2 / sum (t - mean(t))^2``,
    from 0 to 1: the share of the teacher's variance that the answers explain. The mean is that of a channel, the second
    dimension, over all test images and positions; the sums go over everything. ``same_argmax`` is the mean over the
    tensors of two channels or more of the share of positions with the same largest channel.
    """

    teacher: nn.Module | None = None
    score: Callable[[nn.Module], float] | None = None

    metric: ClassVar[str] = "agreement"
    has_labels: ClassVar[bool] = False

    def with_teacher(self, teacher: nn.Module) -> Matching:
        """The task of answering as this network does."""
        return replace(self, teacher=teacher)

    def scaled(self, mean: Sequence[float], std: Sequence[float]) -> Matching:
        """The task on images scaled to 0..1: the teacher gets them normalised, ``score``, which has others, goes."""
        teacher = None if self.teacher is None else _Normalizing(self.teacher, mean, std)
        return replace(self, teacher=teacher, score=None)

    def label_loss(self, answers: Answers, labels: Tensor) -> Tensor:
        """There is none."""
        raise UnskipError("`task` matching has no labels to learn from; take a method that learns from the teacher")

    def terms(
        self, student: Answers, teacher: Answers, labels: Tensor, *, alpha: float, temperature: float
    ) -> dict[str, Tensor]:
        """``output``: the mean over the tensors of ``sum (s - t)^2 / sum t^2``.

        ``alpha`` and ``temperature`` weigh labels against a teacher and soften classes; they mean nothing here.
        """
        pairs = _pairs(student, teacher)
        return {"output": torch.stack([relative_squared_error(*pair) for pair in pairs.values()]).mean()}

    def check(self, answers: Answers) -> None:
        """Raise `UnskipError` for what is no tensors, or none of floating-point numbers."""
        _tensors(answers)

    def evaluate(self, predict: Predict, batches: Iterable[tuple[Tensor, Tensor]]) -> Score:
        """See the class. Raises `UnskipError` also without a teacher, and where the two answer in different shapes."""
        if self.teacher is None:
            raise UnskipError("`task` matching compares answers with a teacher's, and there is no teacher")
        teacher: nn.Module | None = None
        likeness: dict[str, _Likeness] = {}
        images_seen = 0
        for images, _ in batches:
            teacher = teacher or copy.deepcopy(self.teacher).to(images.device).eval()
            with torch.no_grad():
                _add(likeness, predict(images), teacher(images))
            images_seen += len(images)
        if not images_seen:
            raise UnskipError("there are no images to evaluate on")
        figures = _figures(likeness.values())
        if self.score is not None and isinstance(predict, nn.Module):
            figures["own_score"] = _share(self.score(predict))
        return Score(self.metric, figures, images_seen)

    def agreement(self, answers: Answers, expected: Answers) -> float:
        """The explained variance of one batch."""
        likeness: dict[str, _Likeness] = {}
        _add(likeness, answers, expected)
        return _figures(likeness.values())[self.metric]


@dataclass
class _Likeness:
    """What is kept of one tensor of every batch: sums over its numbers, in float64."""

    counts: list[int] = field(default_factory=list)  # numbers of a channel
    means: list[Tensor] = field(default_factory=list)  # (channels,) of the teacher's
    sums: list[Tensor] = field(default_factory=list)  # of (t - the batch's mean)^2, of t^2 and of (s - t)^2
    same: list[Tensor] = field(default_factory=list)  # positions with the same largest channel

    def add(self, answer: Tensor, expected: Tensor) -> None:
        """Take in a batch (B, channels, ...), or (B,), of which the two have the same shape."""
        s, t = (_by_channel(tensor) for tensor in (answer.to(expected.device), expected))
        self.counts.append(t.shape[1])
        self.means.append(t.mean(1))
        self.sums.append(torch.stack([each.square().sum() for each in (t - t.mean(1, keepdim=True), t, s - t)]))
        if len(t) > 1:
            self.same.append((s.argmax(0) == t.argmax(0)).sum())

    @property
    def explained(self) -> float:
        """The share of the variance; answers that never vary are explained by equal ones, up to rounding."""
        means, counts = torch.stack(self.means), torch.tensor(self.counts, device=self.means[0].device).double()
        between = counts @ (means - counts @ means / counts.sum()).square()
        within, squares, errors = torch.stack(self.sums).sum(0).tolist()
        varies = max(within + float(between.sum()), _ROUNDING * squares)
        share = 1 - errors / varies if varies else float(errors == 0)
        return min(max(share, 0.0), 1.0) if math.isfinite(share) else 0.0

    @property
    def same_argmax(self) -> float | None:
        """The share of positions with the same largest channel, None for one channel."""
        return int(sum(self.same)) / sum(self.counts) if self.same else None


class _Normalizing(nn.Module):
    """A network on images scaled to 0..1."""

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def forward(self, images: Tensor) -> Answers:
        return self.net((images - self.mean) / self.std)


def _by_channel(tensor: Tensor) -> Tensor:
    """(B, channels, ...) to (channels, numbers) in float64; (B,) and a single number are one channel."""
    tensor = tensor.detach().double()
    return tensor.transpose(0, 1).flatten(1) if tensor.ndim > 1 else tensor.reshape(1, -1)


def _add(likeness: dict[str, _Likeness], answers: Answers, expected: Answers) -> None:
    for place, pair in _pairs(answers, expected).items():
        likeness.setdefault(place, _Likeness()).add(*pair)


def _figures(all_likeness: Collection[_Likeness]) -> dict[str, float]:
    explained = [likeness.explained for likeness in all_likeness]
    figures = {"agreement": sum(explained) / len(explained)}
    same = [share for each in all_likeness if (share := each.same_argmax) is not None]
    if same:
        figures["same_argmax"] = sum(same) / len(same)
    return figures


def _pairs(answers: Answers, expected: Answers) -> dict[str, tuple[Tensor, Tensor]]:
    """The tensors of two answers by their places; `UnskipError` where places or shapes differ."""
    answered, teacher_tensors = _tensors(answers), _tensors(expected)
    shapes = [
        {place: tuple(tensor.shape) for place, tensor in tensors.items()} for tensors in (answered, teacher_tensors)
    ]
    if shapes[0] != shapes[1]:
        listed = [", ".join(f"{place} {shape}" for place, shape in sorted(side.items())) for side in shapes]
        raise UnskipError(
            f"the answers are {listed[0]}, and the teacher's are {listed[1]}; both must be alike to compare"
        )
    return {place: (answered[place], teacher_tensors[place]) for place in teacher_tensors}


def _tensors(answers: Answers) -> dict[str, Tensor]:
    """The tensors of floating-point numbers in a structure, by keys and places; others say nothing by degrees."""
    tensors = named_answers(answers)
    for place, answer in tensors.items():
        if not isinstance(answer, Tensor):
            raise UnskipError(
                f"the network answers with {type(answer).__name__} at {place}; expected tensors, or dicts, lists and "
                "tuples of them"
            )
    tensors = {place: tensor for place, tensor in tensors.items() if tensor.is_floating_point() and tensor.numel()}
    if not tensors:
        raise UnskipError("the network answers without floating-point numbers, so that there is nothing to match")
    return tensors


def _share(value: object) -> float:
    share = float(value) if isinstance(value, int | float) else math.nan
    if not 0 <= share <= 1:
        raise UnskipError(f"`task.score` gave {value!r}; expected a number from 0 to 1")
    return share
