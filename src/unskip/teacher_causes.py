"""What may be wrong with a teacher, tried cheaply on a few hundred test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from unskip.data import Data, Normalization, named_normalization

_BATCH = 64


@dataclass(frozen=True)
class _Reading:
    """A way to read the images, by the setting that asks for it (None: as it is), and what the teacher answers then."""

    setting: str | None
    normalization: Normalization
    answers: Tensor
    right: Tensor

    @property
    def top1(self) -> float:
        return float(self.right.float().mean())


@dataclass(frozen=True)
class _Sample:
    """A few hundred test images, scaled to 0..1, and their labels."""

    images: Tensor
    labels: Tensor
    num_classes: int

    @classmethod
    def of(cls, data: Data) -> _Sample:
        small = max(data.image_shape[1:]) <= 64
        fewest, most = (512, 2048) if small else (256, 512)
        images, labels = data.scaled().labelled_test_images(min(max(fewest, 4 * len(data.classes)), most))
        return cls(images, labels.cpu(), len(data.classes))

    def read(self, net: nn.Module, setting: str | None, normalization: Normalization, *, bgr: bool = False) -> _Reading:
        """What a network in eval mode, on the images' device, makes of them."""
        mean, std = (
            torch.tensor(numbers, device=self.images.device) for numbers in (normalization.mean, normalization.std)
        )
        with torch.inference_mode():
            batches = (batch.flip(1) if bgr else batch for batch in self.images.split(_BATCH))
            normalized = (batch.sub(mean[:, None, None]).div(std[:, None, None]) for batch in batches)
            answers = torch.cat([net(batch).argmax(1) for batch in normalized]).cpu()
        return _Reading(setting, normalization, answers, answers == self.labels)

    def meaning(self, answers: Tensor, among: Tensor | slice = slice(None)) -> Tensor:
        """(classes,) the label that each answer most often goes with; -1 for answers that are never given."""
        classes = self.num_classes
        pairs = answers[among] * classes + self.labels[among]
        counts = torch.bincount(pairs, minlength=classes**2).view(classes, classes)
        return torch.where(counts.sum(1) > 0, counts.argmax(1), -1)

    def reordered(self, reading: _Reading) -> _Reading:
        """Each answer taken for the class that it most often goes with, in the other half of the sample."""
        half = torch.randperm(len(self.labels), generator=torch.Generator().manual_seed(0)) % 2 == 0
        answers = torch.empty_like(reading.answers)
        for learnt in (half, ~half):
            answers[~learnt] = self.meaning(reading.answers, learnt)[reading.answers[~learnt]]
        return replace(reading, right=answers == self.labels)


def _usual(data: Data) -> dict[str, Normalization]:
    """Usual normalisations by the setting that asks for them."""
    channels = data.image_shape[0]
    names = ["imagenet", "cifar10"] if channels == 3 else []
    usual = {name: named_normalization(name, channels) for name in [*names, "none", "pixels"]}
    if max(data.image_shape[1:]) <= 64:
        pixels = data.scaled().train_images(1000, 0)
        mean, std = pixels.mean((0, 2, 3)), pixels.std((0, 2, 3)).clamp_min(1e-3)
        usual["data"] = Normalization(tuple(mean.tolist()), tuple(std.tolist()))
    halves = ", ".join(["0.5"] * channels)
    usual[f"{{mean: [{halves}], std: [{halves}]}}"] = Normalization((0.5,) * channels, (0.5,) * channels)
    return usual


def _clearly_better(one: _Reading, other: _Reading) -> bool:
    """Whether one is right where the other is wrong more often than chance would have it, by three standard errors."""
    gained, lost = int((one.right & ~other.right).sum()), int((other.right & ~one.right).sum())
    return gained - lost > 3 * (gained + lost) ** 0.5


def _best(readings: Sequence[_Reading]) -> _Reading:
    """The one with the most right answers, or the first where none is clearly better."""
    best = max(readings, key=lambda reading: reading.top1)
    return best if _clearly_better(best, readings[0]) else readings[0]


@dataclass(frozen=True)
class Finding:
    """The share of right answers of ``images`` test images, as they are read ``now`` and as a ``cause`` would have it.

    ``cause`` is empty, and ``then`` is ``now``, where nothing that was tried is clearly better.
    """

    images: int
    now: float
    then: float
    tried: str
    cause: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        if not self.cause:
            return (
                f"no usual cause explains it (tried on {self.images} test images: {self.tried}; the channels in the "
                "order blue, green, red; the classes in another order): are these the right weights, trained on these "
                "classes?"
            )
        return (
            f"likely cause: {self.cause} ({_percent(self.then)} of {self.images} test images are right then, "
            f"{_percent(self.now)} now; tried: {self.tried}); {self.remedy}"
        )


def examine(net: nn.Module, data: Data, *, thoroughly: bool) -> Finding:
    """Try what may be wrong with a teacher, which is in eval mode on the device of the images.

    Usual normalisations; then the channels in the order blue, green, red, ``thoroughly`` under every normalisation,
    else under the best; then the classes in another order. A later one counts where it explains clearly more than
    those before.
    """
    sample = _Sample.of(data)
    now = Normalization(data.mean, data.std)
    others = [(setting, known) for setting, known in _usual(data).items() if known != now]
    readings = [sample.read(net, setting, known) for setting, known in [(None, now), *others]]
    best = _best(readings)
    cause = "its images are normalised in another way than it expects" if best.setting else ""
    if data.image_shape[0] == 3:
        tried = readings if thoroughly else [best]
        flipped = [sample.read(net, reading.setting, reading.normalization, bgr=True) for reading in tried]
        flipped_best = max(flipped, key=lambda reading: reading.top1)
        if _clearly_better(flipped_best, best):
            cause, best = "it expects the channels in the order blue, green, red", flipped_best
    reordered = _best([sample.reordered(reading) for reading in readings])
    meaning = sample.meaning(reordered.answers)
    distinct = len(meaning[meaning >= 0].unique())  # few where features of other classes stand for several of these
    if _clearly_better(reordered, best) and distinct >= 0.8 * len(meaning):
        cause, best = "its classes are in another order than the data's", reordered
    remedy = [f"add `teacher.normalization={best.setting}`"] if best.setting else []
    if "channels" in cause:
        remedy.append("turn the input channels of its first convolution around")
    if "classes" in cause:
        rows = f": {meaning.argsort().tolist()}" if distinct == len(meaning) <= 20 else ""
        remedy.append(f"put the rows of its last layer into the order of the data's classes{rows}")
    shares = ", ".join(f"{_name(reading)} {_percent(reading.top1)}" for reading in readings)
    return Finding(len(sample.labels), readings[0].top1, best.top1, shares, cause, " and ".join(remedy))


def _name(reading: _Reading) -> str:
    setting = reading.setting or "as now"
    return "mean and std 0.5" if "{" in setting else setting


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
