"""What may be wrong with a teacher, tried cheaply on a few hundred test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unskip.data import Data, Normalization, named_normalization

__all__ = ["better_normalization", "likely_cause"]

_BATCH = 64


@dataclass(frozen=True)
class _Reading:
    """A way to read the images, by the setting that asks for it (None: as it is), and what the teacher answers then."""

    setting: str | None
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

    @classmethod
    def of(cls, data: Data) -> _Sample:
        small = max(data.image_shape[1:]) <= 64
        fewest, most = (512, 2048) if small else (256, 512)
        images, labels = data.scaled().labelled_test_images(min(max(fewest, 4 * len(data.classes)), most))
        return cls(images, labels.cpu())

    def read(self, net: nn.Module, setting: str | None, normalization: Normalization, *, bgr: bool = False) -> _Reading:
        """What a network in eval mode, on the images' device, makes of them."""
        mean, std = (
            torch.tensor(numbers, device=self.images.device)[:, None, None]
            for numbers in (normalization.mean, normalization.std)
        )
        with torch.inference_mode():
            batches = ((batch.flip(1) if bgr else batch).sub(mean).div(std) for batch in self.images.split(_BATCH))
            answers = torch.cat([net(batch).argmax(1) for batch in batches]).cpu()
        return _Reading(setting, answers, answers == self.labels)

    def reordered(self, reading: _Reading, num_classes: int) -> _Reading:
        """Each answer taken for the class that it most often goes with, in the other half of the sample."""
        half = torch.randperm(len(self.labels), generator=torch.Generator().manual_seed(0)) % 2 == 0
        answers = torch.empty_like(reading.answers)
        for learnt in (half, ~half):
            meaning = _meaning(reading.answers[learnt], self.labels[learnt], num_classes)
            answers[~learnt] = meaning[reading.answers[~learnt]]
        return _Reading(reading.setting, reading.answers, answers == self.labels)


def _meaning(answers: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """(classes,) the label that each answer most often goes with; -1 for answers that are never given."""
    counts = torch.bincount(answers * num_classes + labels, minlength=num_classes**2).view(num_classes, num_classes)
    return torch.where(counts.sum(1) > 0, counts.argmax(1), torch.tensor(-1))


def _readings(net: nn.Module, data: Data, sample: _Sample, *, bgr: bool = False) -> list[_Reading]:
    """As the images are read now, and under every usual normalisation."""
    now = Normalization(data.mean, data.std)
    others = {setting: known for setting, known in _usual(data).items() if known != now}
    return [sample.read(net, setting, known, bgr=bgr) for setting, known in [(None, now), *others.items()]]


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
    return max(readings, key=lambda reading: reading.top1)


def better_normalization(net: nn.Module, data: Data) -> str | None:
    """A note where a teacher is clearly better under another usual normalisation; see :func:`likely_cause`."""
    sample = _Sample.of(data)
    now, *others = _readings(net, data, sample)
    best = _best(others)
    if not _clearly_better(best, now):
        return None
    return (
        f"on {len(sample.labels)} test images it has {_percent(now.top1)} as they are normalised now and "
        f"{_percent(best.top1)} with {_set(best)}"
    )


def likely_cause(net: nn.Module, data: Data) -> str:
    """What may be wrong with a teacher, tried on a few hundred test images, as the end of a sentence.

    Tried are usual normalisations, then the channels in the order blue, green, red, then the classes in another order;
    a later one counts where it explains clearly more than those before. The network is in eval mode, on the device of
    the images.
    """
    sample, num_classes = _Sample.of(data), len(data.classes)
    readings = _readings(net, data, sample)
    now, best = readings[0], _best(readings)
    cause, found = "", now
    if _clearly_better(best, now):
        cause, found = "its images are normalised in another way than it expects", best
    if data.image_shape[0] == 3:
        flipped = _best(_readings(net, data, sample, bgr=True))
        if _clearly_better(flipped, found):
            cause, found = "it expects the channels in the order blue, green, red", flipped
    reordered = _best([sample.reordered(reading, num_classes) for reading in readings])
    if _clearly_better(reordered, found) and _is_an_order(reordered, sample, num_classes):
        cause, found = "its classes are in another order than the data's", reordered
    tried = ", ".join(f"{reading.setting or 'as now'} {_percent(reading.top1)}" for reading in readings)
    if not cause:
        return (
            f"no usual cause explains it (tried on {len(sample.labels)} test images: {tried}; channels in the order "
            "blue, green, red; classes in another order): are these the right weights, trained on these classes?"
        )
    remedy = [f"add {_set(found)}"] if found.setting else []
    if "channels" in cause:
        remedy.append("turn the input channels of its first convolution around")
    if "classes" in cause:
        remedy.append(
            f"put the rows of its last layer into the order of the data's classes{_rows(found, sample, data)}"
        )
    return (
        f"likely cause: {cause} ({_percent(found.top1)} of {len(sample.labels)} test images are right then; "
        f"normalisations tried: {tried}); {' and '.join(remedy)}"
    )


def _is_an_order(reading: _Reading, sample: _Sample, num_classes: int) -> bool:
    """Whether answers stand for different classes: features of other classes would be many to one."""
    meaning = _meaning(reading.answers, sample.labels, num_classes)
    used = meaning[meaning >= 0]
    return len(used.unique()) >= 0.8 * num_classes


def _rows(reading: _Reading, sample: _Sample, data: Data) -> str:
    """The rows by the data's classes, where they can be said in short."""
    meaning = _meaning(reading.answers, sample.labels, len(data.classes)).tolist()
    if len(meaning) > 20 or sorted(meaning) != list(range(len(meaning))):
        return ""
    return f": [{', '.join(str(meaning.index(place)) for place in range(len(meaning)))}]"


def _set(reading: _Reading) -> str:
    setting = f"teacher.normalization={reading.setting}"
    return f"--set '{setting}'" if "{" in setting else f"--set {setting}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
