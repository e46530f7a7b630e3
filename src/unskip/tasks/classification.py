"""One class an image: logits (batch, classes) against labels (batch,); top-1 decides."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from unskip.errors import UnskipError
from unskip.losses import cross_entropy, kl_divergence
from unskip.tasks.base import Answers, Predict, Score, Task

MIN_CLASSES_FOR_TOP5 = 6


@dataclass(frozen=True)
class Classification(Task):
    """Top-1, and from six classes on top-5, on labelled images; chance is the share of the most frequent label.

    ``num_classes``: how many the answers must tell apart, None where any number will do. ``label_smoothing``: see
    `unskip.losses.cross_entropy`; scores know nothing of it. To learn from, labels may be (batch, classes) shares too.
    """

    num_classes: int | None = None
    label_smoothing: float = 0.0

    metric: ClassVar[str] = "top1"
    has_labels: ClassVar[bool] = True

    def label_loss(self, answers: Answers, labels: Tensor) -> Tensor:
        """The cross-entropy; `UnskipError` for labels that are no classes of the answers."""
        try:
            return cross_entropy(answers, labels, self.label_smoothing)
        except (IndexError, RuntimeError):
            if answers.ndim == 2:
                _check_labels(labels, answers)
            raise

    def smoothed(self, smoothing: float) -> Classification:
        """Its labels smoothed; 0 leaves the task's own smoothing."""
        return replace(self, label_smoothing=smoothing) if smoothing else self

    def mixed_labels(self, labels: Tensor, partners: Tensor, share: float, answers: Answers) -> Tensor:
        """(batch, classes): ``share`` of the one class, the rest of the other."""
        mixed: Tensor = share * _shares(labels, answers) + (1 - share) * _shares(partners, answers)
        return mixed

    def terms(
        self, student: Answers, teacher: Answers, labels: Tensor, *, alpha: float, temperature: float
    ) -> dict[str, Tensor]:
        """``ce``: (1 - alpha) of the cross-entropy, ``kl``: alpha of the divergence from the teacher's logits."""
        if student.shape != teacher.shape:
            told = (shape[-1] for shape in (student.shape, teacher.shape))
            raise UnskipError("the student tells {} classes apart and its teacher {}; give both as many".format(*told))
        return {
            "ce": (1 - alpha) * self.label_loss(student, labels),
            "kl": alpha * kl_divergence(student, teacher, temperature),
        }

    def check(self, answers: Answers) -> None:
        """Raise `UnskipError` for answers that are no logits (batch, classes)."""
        shape = tuple(answers.shape[1:]) if isinstance(answers, Tensor) else type(answers).__name__
        if not isinstance(answers, Tensor) or answers.ndim != 2 or self.num_classes not in (None, answers.shape[1]):
            classes = "each class" if self.num_classes is None else f"each of {self.num_classes} classes"
            raise UnskipError(f"the answer to an image is {shape}, not one number for {classes}")

    def evaluate(self, predict: Predict, batches: Iterable[tuple[Tensor, Tensor]]) -> Score:
        """Count on the device, in integers, and look at the counts once at the end."""
        images_seen, classes = 0, 0
        hits: Tensor | None = None  # (first, among the first five)
        frequencies: Tensor | None = None  # of the labels
        for images, labels in batches:
            logits = predict(images)
            self.check(logits)
            classes = logits.shape[1]
            labels = labels.to(logits.device)
            _check_labels(labels, logits)
            first = logits.argmax(dim=1) == labels  # of equal logits, as quantised files give them, the first counts
            among = (logits.topk(min(5, classes), dim=1).indices == labels[:, None]).any(dim=1)
            counts = torch.stack([first.sum(), (first | among).sum()])
            hits = counts if hits is None else hits + counts
            seen = torch.bincount(labels, minlength=classes)
            frequencies = seen if frequencies is None else frequencies + seen
            images_seen += len(labels)
        if hits is None or frequencies is None or not images_seen:
            raise UnskipError("there are no images to evaluate on")
        firsts, first_five = hits.tolist()
        figures = {"top1": firsts / images_seen}
        if classes >= MIN_CLASSES_FOR_TOP5:
            figures["top5"] = first_five / images_seen
        return Score(self.metric, figures, images_seen, int(frequencies.max()) / images_seen)

    def agreement(self, answers: Answers, expected: Answers) -> float:
        """The share of images with the same top-1."""
        same: Tensor = answers.argmax(1) == expected.argmax(1)
        return same.float().mean().item()


def _shares(labels: Tensor, answers: Tensor) -> Tensor:
    """(batch, classes) of float32, for labels that are shares already too."""
    if labels.ndim == 2:
        return labels.float()
    shares = torch.zeros(len(labels), answers.shape[1], device=labels.device)
    try:
        return shares.scatter_(1, labels[:, None], 1.0)
    except (IndexError, RuntimeError):
        _check_labels(labels, shares)
        raise


def _check_labels(labels: Tensor, logits: Tensor) -> None:
    images, classes = logits.shape
    if labels.shape != (images,) or labels.is_floating_point():
        raise UnskipError(
            f"the labels of {images} images are {tuple(labels.shape)} of {labels.dtype}; expected ({images},) of "
            "torch.int64, the number of a class for each image"
        )
    lowest, highest = map(int, labels.aminmax()) if images else (0, 0)
    if lowest < 0 or highest >= classes:
        raise UnskipError(
            f"the labels hold {highest if highest >= classes else lowest}, and the network tells {classes} classes "
            f"apart, 0 to {classes - 1}; give it a last layer for the classes of the images"
        )
