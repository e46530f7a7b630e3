"""A file is kept when it computes what the network computes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from unskip.errors import UnskipError
from unskip.runtimes import Program

__all__ = [
    "Accuracies",
    "Agreement",
    "Exported",
    "compare",
    "compare_accuracy",
    "logits_of",
    "refuse_deviation",
    "refuse_drop",
]

_BATCH = 32
_ROUNDING = 1e-6  # of the largest logit

Predict = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Agreement:
    """Differences of logits relative to the largest absolute one, and the share of images with the same top-1.

    ``constant``: the network's logits are the same for every image, so that the agreement says nothing.
    """

    max_difference: float
    mean_difference: float
    agreement: float
    images: int
    constant: bool


@dataclass(frozen=True)
class Accuracies:
    """The top-1 accuracy of a network and of its file on the same labelled images."""

    net: float
    file: float
    images: int


@dataclass(frozen=True)
class Exported:
    """A file that was written and proved.

    ``file_bytes`` counts all files that belong to it. ``max_difference`` and ``mean_difference`` compare its logits
    with those of the network, relative to the largest absolute logit; ``agreement`` is the share of ``images`` with the
    same top-1 class, which says nothing where the network is ``constant``. ``tolerance`` is None for 8 bits, where
    ``accuracies`` decide. ``batch_size`` None means any. ``depth`` names the network in a file of several.
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
    accuracies: Accuracies | None

    def describe(self) -> str:
        """What was found, in a line."""
        takes = "any batch" if self.batch_size is None else f"batch {self.batch_size}"
        depth = f" at depth {self.depth}" if self.depth else ""
        allowed = "" if self.tolerance is None else f" (tolerance {self.tolerance:.0e})"
        words = [
            f"{self.path}{depth}: {self.file_bytes:,} bytes, {self.precision}, {takes}, run by {self.runtime}",
            f"differs by at most {self.max_difference:.1e} of the largest logit{allowed}",
            f"same top-1 on {100 * self.agreement:.2f} % of {self.images} images",
        ]
        if self.constant:
            words[-1] += ", which says nothing: the network has the same logits for every image and has learned nothing"
        if self.accuracies:
            file, net = 100 * self.accuracies.file, 100 * self.accuracies.net
            words.append(f"top-1 {file:.2f} %, the network {net:.2f} %, on {self.accuracies.images:,} images")
        return "; ".join(words)


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
        constant=_is_constant(expected, images),
    )


def _is_constant(logits: Tensor, images: Tensor) -> bool:
    """Whether different images have the same logits, up to rounding."""
    if not bool((images != images[:1]).any()):
        return False
    spread = (logits.max(dim=0).values - logits.min(dim=0).values).max()
    return bool(spread <= _ROUNDING * logits.abs().max())


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


def refuse_deviation(path: Path, found: Agreement, tolerance: float) -> None:
    """Raise `UnskipError` where the logits differ by more than the tolerance."""
    if not found.max_difference <= tolerance:  # NaN included
        raise UnskipError(
            f"{path} was not written: its logits differ from the network's by {found.max_difference:.2g} of the "
            f"largest logit, and {tolerance:.2g} is allowed; top-1 agrees on {found.agreement:.1%} of "
            f"{found.images} images"
        )


def refuse_drop(path: Path, found: Agreement, accuracies: Accuracies | None, max_drop: float) -> None:
    """Raise `UnskipError` where the file's accuracy lies too far below the network's."""
    assert accuracies is not None, "8 bits are judged by their accuracy"
    drop = accuracies.net - accuracies.file
    if not drop <= max_drop:
        raise UnskipError(
            f"{path} was not written: in 8 bits its accuracy is {accuracies.file:.2%}, {drop:.2%} below the network's "
            f"{accuracies.net:.2%} on {accuracies.images:,} images, and {max_drop:.2%} is allowed (--max-drop); top-1 "
            f"agrees on {found.agreement:.1%}"
        )
