"""Mixed images: mixup (Zhang et al., 2018) and CutMix (Yun et al., 2019), for teacher and student alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unskip.tasks import Answers, Task
from unskip.training.fit import TrainingBatches

_STREAM = 3  # of random numbers beside those of a seed's order and augmentation


@dataclass(frozen=True)
class MixedBatches:
    """Batches in which every image is mixed with its neighbour, and the labels as the task mixes them.

    A batch has one share, drawn from Beta(alpha, alpha) with ``mixup`` or ``cutmix`` for alpha; where both are above 0,
    chance takes one of them. It is a function of seed, epoch and step. ``answers``: of the network that is trained, to
    one image.
    """

    batches: TrainingBatches
    task: Task
    answers: Answers
    mixup: float
    cutmix: float
    seed: int

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Mixed images (batch, channels, height, width), and labels: see `Task.mixed_labels`."""
        for step, (images, labels) in enumerate(self.batches.epoch(epoch, start_step), start_step):
            random = np.random.default_rng((self.seed, epoch, step, _STREAM))
            cuts = random.random() < (0.5 if self.mixup else 1.0) if self.cutmix else False
            alpha = self.cutmix if cuts else self.mixup
            share = random.beta(alpha, alpha)
            others = images.roll(1, dims=0)
            if cuts:
                images, share = cutmix(images, others, share, random)
            else:
                images = mixup(images, others, share)
            yield images, self.task.mixed_labels(labels, labels.roll(1, dims=0), share, self.answers)


def mixup(images: Tensor, partners: Tensor, share: float) -> Tensor:
    """``share`` of each image and the rest of another's. Both: (batch, channels, height, width)."""
    return torch.lerp(partners, images, share).contiguous(memory_format=_layout(images))


def cutmix(images: Tensor, partners: Tensor, share: float, random: np.random.Generator) -> tuple[Tensor, float]:
    """Images with a rectangle of others in them, and the share of the pixels that are their own.

    The rectangle has about ``1 - share`` of the area and the image's proportions; its centre is anywhere, and what
    juts out is cut off. Both: (batch, channels, height, width).
    """
    height, width = images.shape[-2:]
    half = np.sqrt(1 - share) / 2
    y, x = random.random(2)
    top, bottom = (round(min(max(edge, 0.0), 1.0) * height) for edge in (y - half, y + half))
    left, right = (round(min(max(edge, 0.0), 1.0) * width) for edge in (x - half, x + half))
    mixed = images.clone()
    mixed[..., top:bottom, left:right] = partners[..., top:bottom, left:right]
    return mixed, 1 - (bottom - top) * (right - left) / (height * width)


def _layout(images: Tensor) -> torch.memory_format:
    """Channels last where only that describes it: maps of one channel lie both ways."""
    return torch.contiguous_format if images.is_contiguous() else torch.channels_last
