"""Where the answers of a teacher and of the network that takes its place differ, over all test images.

Images are gone through once, in batches. What is kept meanwhile are counts and the few images that are shown.
"""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from unskip.data import Data
from unskip.deploying import normalizes
from unskip.errors import UnskipError
from unskip.evaluation import file_predict
from unskip.nets.undisturbed import modes_kept
from unskip.records import Answer, Answers, ClassAnswers, Confusion, Disagreement
from unskip.runtimes import read_metadata
from unskip.tasks import Classification, Predict

NUM_SHOWN = 12
"""So many images on which the two disagree most are kept, and so many changes among the mistakes."""

_SIDE = 96  # pixels of the longer side of an image that is shown; smaller ones stay as they are

_Batch = tuple[Tensor, Tensor]  # images and labels


@dataclass(frozen=True)
class AnsweredBatch:
    """A batch: the logits of both (batch, classes), the labels (batch,), and ``pixels``, which gives one of its images.

    That is uint8 (channels, height, width).
    """

    teacher: Tensor
    winner: Tensor
    labels: Tensor
    pixels: Callable[[int], Tensor]


def compare_answers(
    teacher: nn.Module,
    winner: nn.Module | Path,
    data: Data,
    *,
    winner_data: Data | None = None,
    depth: str | None = None,
) -> Answers:
    """What a classifier and its successor, a network or a deployed file, answer to all test images of ``data``.

    ``winner_data`` are the same images in the same order for a winner that sees them in another size or normalised
    otherwise; a file that normalises by itself gets them scaled to 0..1. ``depth`` names a network in a file of
    several. Networks run where they are, in eval mode. Raises `UnskipError` for answers that are none of these classes,
    and where the two sets of test images are not the same.
    """
    winner_images = winner_data or data
    if isinstance(winner, Path) and normalizes(winner, read_metadata(winner)):
        winner_images = winner_images.scaled()
    if (winner_images.num_test, winner_images.classes) != (data.num_test, data.classes):
        raise UnskipError(
            f"`winner_data` has {winner_images.num_test:,} test images of {len(winner_images.classes)} classes, `data` "
            f"{data.num_test:,} of {len(data.classes)}; give the same images"
        )
    task = Classification(num_classes=len(data.classes))
    after = file_predict(winner, task, depth=depth) if isinstance(winner, Path) else _net_predict(winner, task)
    with torch.inference_mode(), ExitStack() as afterwards:
        for net in (teacher, winner):
            if isinstance(net, nn.Module):
                afterwards.enter_context(modes_kept(net))
                net.eval()
        own = data.test_batches().epoch(0)
        winner_batches = None if winner_images is data else winner_images.test_batches().epoch(0)
        return compared(_answered(_net_predict(teacher, task), after, data, own, winner_batches), data.classes)


def _net_predict(net: nn.Module, task: Classification) -> Predict:
    parameter = next(net.parameters(), None)

    def predict(images: Tensor) -> Tensor:
        logits: Tensor = net(images if parameter is None else images.to(parameter.device))
        task.check(logits)
        return logits

    return predict


def _answered(
    teacher: Predict, winner: Predict, data: Data, own: Iterable[_Batch], winner_batches: Iterable[_Batch] | None
) -> Iterator[AnsweredBatch]:
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (data.mean, data.std))
    pairs = ((batch, batch) for batch in own) if winner_batches is None else zip(own, winner_batches, strict=True)
    for (images, labels), (others_images, others_labels) in pairs:
        if not torch.equal(labels.cpu(), others_labels.cpu()):
            raise UnskipError("the test images of `winner_data` come in another order than those of `data`")

        def pixels(place: int, images: Tensor = images) -> Tensor:
            return (255 * (images[place].cpu() * std + mean)).round().clamp(0, 255).to(torch.uint8)

        yield AnsweredBatch(teacher(images).cpu(), winner(others_images).cpu(), labels.cpu(), pixels)


def compared(batches: Iterable[AnsweredBatch], classes: Sequence[str]) -> Answers:
    """The comparison itself, batch by batch.

    Images to which the two name different classes are ranked by the total variation between their probabilities,
    ``1/2 sum |p - q|``, of equal ones the earlier first. Mistakes are ranked by how much their numbers differ.
    """
    num_classes = len(classes)
    pairs: dict[str, Counter[tuple[int, int]]] = {"teacher": Counter(), "winner": Counter()}
    totals = np.zeros(num_classes, np.int64)
    furthest: list[tuple[float, int, Disagreement]] = []
    images_seen = differing = 0
    for batch in batches:
        labels = batch.labels
        answered = {"teacher": batch.teacher.argmax(1), "winner": batch.winner.argmax(1)}
        for who, answers in answered.items():
            pairs[who].update(zip(labels.tolist(), answers.tolist(), strict=True))
        totals += np.bincount(labels.numpy(), minlength=num_classes)
        apart = answered["teacher"] != answered["winner"]
        differing += int(apart.sum())
        furthest += _furthest(batch, apart, images_seen, full=furthest[-1] if len(furthest) == NUM_SHOWN else None)
        furthest = sorted(furthest, key=lambda each: each[:2])[:NUM_SHOWN]
        images_seen += len(labels)
    if not images_seen:
        raise UnskipError("there are no test images to compare answers on")
    return Answers(
        images=images_seen,
        differing=differing,
        classes=tuple(
            ClassAnswers(
                name=name,
                images=int(totals[number]),
                teacher=pairs["teacher"][number, number],
                winner=pairs["winner"][number, number],
            )
            for number, name in enumerate(classes)
        ),
        confusions=tuple(_changes(pairs["teacher"], pairs["winner"])),
        disagreements=tuple(each for *_, each in furthest),
    )


def _furthest(
    batch: AnsweredBatch, apart: Tensor, first: int, full: tuple[float, int, Disagreement] | None
) -> Iterator[tuple[float, int, Disagreement]]:
    """The images of a batch that may be among the furthest, the key to sort them by in front.

    ``first`` is the place of the batch's first image, ``full`` the last of those that are kept if there is no room.
    """
    # Of a network that diverged, NaN counts as 0, so that there are probabilities.
    teacher, winner = (logits.double().nan_to_num().softmax(1) for logits in (batch.teacher, batch.winner))
    distances = torch.where(apart, (teacher - winner).abs().sum(1) / 2, -1.0)
    for place in distances.argsort(descending=True, stable=True)[:NUM_SHOWN].tolist():
        distance = min(distances[place].item(), 1.0)  # a sum of shares, rounded
        if distance < 0 or (full is not None and -distance >= full[0]):
            return
        yield (
            -distance,
            first + place,
            Disagreement(
                index=first + place,
                true=int(batch.labels[place]),
                teacher=_answer(teacher[place]),
                winner=_answer(winner[place]),
                distance=distance,
                png=_png(batch.pixels(place)),
            ),
        )


def _answer(probabilities: Tensor) -> Answer:
    probability, answered = probabilities.max(0)
    return Answer(answered=int(answered), probability=min(probability.item(), 1.0))


def _changes(teacher: Counter[tuple[int, int]], winner: Counter[tuple[int, int]]) -> list[Confusion]:
    """The mistakes that one of the two makes more often, the largest differences first, then by their classes."""
    mistakes = [pair for pair in {*teacher, *winner} if pair[0] != pair[1] and teacher[pair] != winner[pair]]
    mistakes.sort(key=lambda pair: (-abs(teacher[pair] - winner[pair]), pair))
    return [
        Confusion(true=true, answered=answered, teacher=teacher[true, answered], winner=winner[true, answered])
        for true, answered in mistakes[:NUM_SHOWN]
    ]


def _png(pixels: Tensor) -> str:
    """uint8 (channels, height, width), of one channel or three, as a PNG of at most `_SIDE` pixels, in base64."""
    array = pixels.numpy()
    image = Image.fromarray(array[0] if len(array) == 1 else np.ascontiguousarray(array.transpose(1, 2, 0)))
    image.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
