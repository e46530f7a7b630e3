"""Accuracy of a network, or of an exported file, on labelled images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from unskip.chance import is_at_chance
from unskip.errors import UnskipError, first_line
from unskip.runtimes import runtime_for

__all__ = ["Accuracy", "evaluate", "evaluate_file"]

MIN_CLASSES_FOR_TOP5 = 6


@dataclass(frozen=True)
class Accuracy:
    """Accuracy from 0 to 1 over a number of images; ``top5`` is None below 6 classes, where it says nothing.

    ``chance`` is the share of the most frequent label: the top-1 of always naming it.
    """

    top1: float
    top5: float | None
    images: int
    chance: float

    @property
    def at_chance(self) -> bool:
        """Whether ``top1`` is no better than guessing; see `unskip.chance`."""
        return is_at_chance(self.top1, self.chance, self.images)


def evaluate(
    net: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    autocast: AbstractContextManager[object] | None = None,
) -> Accuracy:
    """The accuracy of a network in eval mode on batches of images (B, C, H, W) and labels (B,).

    The batches are expected on the network's device. ``autocast``, say ``torch.autocast("cuda",
    torch.bfloat16)``, is entered once around it all. The modes of the network's modules are afterwards what
    they were. Raises `UnskipError` when there are no images.
    """
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        with torch.inference_mode(), autocast or nullcontext():
            return _accuracy(net, batches)
    finally:
        for module, training in modes.items():
            module.training = training


def evaluate_file(
    path: Path, batches: Iterable[tuple[Tensor, Tensor]], *, depth: str | None = None, classes: int | None = None
) -> Accuracy:
    """The accuracy of a deployed file, run on the CPU by the runtime that it was written for; see :func:`evaluate`.

    The images are such as the file takes: where it normalises by itself, scaled to 0..1. ``depth`` names one of the
    networks in a file of several. Raises `UnskipError` for a file that does not take the images, or that tells another
    number of ``classes`` apart.
    """
    runtime = runtime_for(path)
    program = runtime.load(path, depth=depth)

    def predict(images: Tensor) -> Tensor:
        shape = tuple(images.shape[1:])
        if program.input_shape not in (None, shape):
            raise UnskipError(f"{path} takes images of {program.input_shape}, not of {shape}; its metadata are damaged")
        try:
            logits = torch.from_numpy(program(images.cpu().numpy()))
        except Exception as error:  # each runtime fails in ways of its own
            raise UnskipError(f"{runtime.version} cannot run {path}: {first_line(error)}") from error
        if logits.ndim != 2 or classes not in (None, logits.shape[1]):
            raise UnskipError(f"{path} gives {tuple(logits.shape[1:])} numbers for an image, not one for each class")
        return logits

    return _accuracy(predict, batches)


def _accuracy(predict: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]]) -> Accuracy:
    """Count on the device, in integers, and look at the counts once at the end."""
    images_seen, classes = 0, 0
    hits: Tensor | None = None  # (first, among the first five)
    frequencies: Tensor | None = None  # of the labels
    for images, labels in batches:
        logits = predict(images)
        classes = logits.shape[1]
        labels = labels.to(logits.device)
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
    top5 = first_five / images_seen if classes >= MIN_CLASSES_FOR_TOP5 else None
    return Accuracy(firsts / images_seen, top5, images_seen, int(frequencies.max()) / images_seen)
