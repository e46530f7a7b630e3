"""A file is kept when it computes what the network computes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from unskip.errors import UnskipError
from unskip.runtimes import Program

__all__ = ["Accuracies", "Agreement", "compare", "compare_accuracy", "logits_of"]

_BATCH = 32

Predict = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Agreement:
    """Differences of logits relative to the largest absolute one, and the share of images with the same top-1."""

    max_difference: float
    mean_difference: float
    agreement: float
    images: int


@dataclass(frozen=True)
class Accuracies:
    """The top-1 accuracy of a network and of its file on the same labelled images."""

    net: float
    file: float
    images: int


def logits_of(program: Program) -> Predict:
    """What a loaded file answers, as tensors."""
    return lambda images: torch.from_numpy(program(images.contiguous().numpy()))


def compare(net: Predict, file: Predict, images: Tensor, *, free_batch: bool) -> Agreement:
    """Run both on all images (N, C, H, W); a file of a free batch size on one, on two, and on many at a time."""
    with torch.inference_mode():
        expected = torch.cat([net(batch) for batch in images.split(_BATCH)])
        try:
            if free_batch:
                file(images[:1].expand(2, -1, -1, -1))
            logits = torch.cat([file(batch) for batch in _batches(images)])
        except Exception as error:  # each runtime fails in ways of its own
            raise UnskipError(f"the exported file does not run: {error}") from error
    if logits.shape != expected.shape:
        raise UnskipError(f"the exported file gives {tuple(logits.shape)}, not {tuple(expected.shape)}")
    difference = (logits - expected).abs() / expected.abs().max().clamp_min(torch.finfo(torch.float32).tiny)
    return Agreement(
        max_difference=difference.max().item(),
        mean_difference=difference.mean().item(),
        agreement=(logits.argmax(1) == expected.argmax(1)).float().mean().item(),
        images=len(images),
    )


def compare_accuracy(net: Predict, file: Predict, batches: Iterable[tuple[Tensor, Tensor]]) -> Accuracies:
    """The accuracy of both on batches of images and labels; `UnskipError` without any."""
    hits, count = [0, 0], 0
    with torch.inference_mode():
        for images, labels in batches:
            images = images.cpu()
            for place, predict in enumerate((net, file)):
                hits[place] += int((predict(images).argmax(1) == labels.cpu()).sum())
            count += len(labels)
    if not count:
        raise UnskipError("there are no images to evaluate on")
    return Accuracies(hits[0] / count, hits[1] / count, count)


def _batches(images: Tensor) -> Iterator[Tensor]:
    """One image, full batches, and what remains: a file that has baked in a batch size cannot take them."""
    yield images[:1]
    if len(images) > 1:
        yield from images[1:].split(_BATCH)
