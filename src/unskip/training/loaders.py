"""Batches of a loader of the user's own, as a training asks for images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from unskip.errors import UnskipError, shortened
from unskip.tasks import Task


@dataclass(frozen=True)
class LoaderBatches:
    """The batches of a loader: images (batch, channels, height, width) and labels (batch,), zeros where it gives none.

    With a ``task``, `UnskipError` where it gives none and the task needs them.

    PyTorch's generator is seeded before each is fetched, so that the order and the augmentation of a `DataLoader` that
    draws from it, in loader processes too, are functions of seed, epoch and step. What draws from elsewhere (a
    generator of its own, NumPy's) is not, and the batches in front of ``start_step`` are fetched again.
    """

    loader: Any
    device: torch.device
    task: Task | None = None
    seed: int = 0
    channels_last: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.loader, Iterable) or isinstance(self.loader, Iterator):
            raise UnskipError(
                f"`data`: expected batches that can be gone through once an epoch, such as a DataLoader or a list; got "
                f"{shortened(repr(self.loader))}"
            )
        try:
            empty = len(self) == 0
        except TypeError as error:
            raise UnskipError("`data` must know how many batches an epoch has: give the loader a length") from error
        if empty:
            raise UnskipError("`data` has no batches")

    def __len__(self) -> int:
        return len(self.loader)

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch from a step on."""
        sampler = getattr(self.loader, "sampler", None)
        if sampler is not None and hasattr(sampler, "set_epoch"):  # a DistributedSampler's order
            sampler.set_epoch(epoch)
        self._seed(epoch, 0)
        batches = iter(self.loader)
        for step in range(len(self)):
            if step:
                self._seed(epoch, step)
            batch = next(batches, None)
            if batch is None:
                return
            if step >= start_step:
                yield self._placed(batch)

    def _seed(self, epoch: int, step: int) -> None:
        torch.manual_seed(((self.seed * 1_000_033 + epoch) * 1_000_033 + step) % 2**63)

    def _placed(self, batch: Any) -> tuple[Tensor, Tensor]:
        images, *rest = batch if isinstance(batch, list | tuple) and batch else (batch,)
        if not rest and self.task is not None:
            self.task.check_unlabelled()
        labels = rest[0] if rest else torch.zeros(len(images), dtype=torch.int64)
        if len(rest) > 1 or not isinstance(images, Tensor) or not isinstance(labels, Tensor) or images.dim() != 4:
            raise UnskipError(
                "`data`: expected batches (images, labels), or of images alone, as tensors (batch, channels, height, "
                f"width) and (batch,); got {shortened(repr(batch))}"
            )
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        images = images.to(self.device, non_blocking=True).contiguous(memory_format=layout)
        return images, labels.to(self.device, non_blocking=True)


class LoaderImages:
    """Batches of a loader in the place of `unskip.data.Data`: what a training asks of its images, and no more."""

    def __init__(self, loader: Any, device: torch.device, task: Task | None = None) -> None:
        self._batches = LoaderBatches(loader, device, task)
        first = self.train_images(1, 0)
        self.image_shape = (first.shape[1], first.shape[2], first.shape[3])
        self.num_train = len(first) * len(self._batches)

    @property
    def identity(self) -> dict[str, Any]:
        """What a training that goes on must find again: few facts, since a loader may augment its images."""
        return {"steps": len(self._batches), "image_shape": list(self.image_shape)}

    def train_batches(self, batch_size: int, seed: int, *, channels_last: bool = False, **ranks: int) -> LoaderBatches:
        """The loader's batches as they are; its own sampler shares images among ``ranks``, and says ``batch_size``."""
        return replace(self._batches, seed=seed, channels_last=channels_last)

    def train_images(self, count: int, seed: int) -> Tensor:
        """The images of the first batches, at least ``count`` where there are as many."""
        batches: list[Tensor] = []
        with torch.random.fork_rng():
            for images, _ in replace(self._batches, seed=seed).epoch(0):
                batches.append(images)
                if sum(map(len, batches)) >= count:
                    break
        return torch.cat(batches)
