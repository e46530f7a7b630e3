"""What trained networks and deployed files see in images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unskip.data.scan import Scan
from unskip.data_info import DataInfo
from unskip.errors import UnskipError, first_line
from unskip.images import shown
from unskip.preprocessing import prepare
from unskip.run_folder import net_file
from unskip.runtimes import ending_of, runtime_for
from unskip.weights import has_spec, load_net

_MOST = 5  # classes that are named for an image


@dataclass(frozen=True)
class Prediction:
    """What is seen in an image: the likeliest classes with their probabilities, the first the likeliest.

    No class has a place where the image could not be read, for the reason in ``unreadable``.
    """

    image: Path
    classes: tuple[tuple[str, float], ...] = ()
    unreadable: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        named = [{"class": name, "probability": probability} for name, probability in self.classes]
        found: dict[str, Any] = {"image": shown(self.image), "classes": named}
        return found | ({"unreadable": self.unreadable} if self.unreadable else {})


@dataclass(frozen=True)
class Classifier:
    """A network, or a deployed file in its own runtime, and all that its file says of images and classes.

    ``logits`` takes an image as `unskip.prepare` gives it, by ``facts``, and gives (1, classes).
    """

    file: Path
    classes: Sequence[str]
    facts: Mapping[str, str]
    logits: Callable[[NDArray[np.float32]], Any]

    def predict(self, images: Sequence[Path]) -> Iterator[Prediction]:
        """The five likeliest classes of every image, those of fewer where the network knows fewer.

        Raises `UnskipError` for answers that are not one number for each class.
        """
        for image in images:
            try:
                prepared = prepare(image, self.facts)
            except UnskipError as error:
                yield Prediction(image, unreadable=str(error))
                continue
            yield Prediction(image, self._likeliest(prepared))

    def _likeliest(self, prepared: NDArray[np.float32]) -> tuple[tuple[str, float], ...]:
        try:
            answers = self.logits(prepared)
        except Exception as error:  # each runtime fails in ways of its own
            raise UnskipError(f"{self.file} cannot be run: {first_line(error)}") from error
        if getattr(answers, "shape", None) != (1, len(self.classes)) or not np.isfinite(answers).all():
            raise UnskipError(f"{self.file} does not answer with one finite number for each of its classes")
        shifted = np.exp(answers[0].astype(np.float64) - answers.max())
        probabilities = shifted / shifted.sum()
        order = np.argsort(-probabilities, kind="stable")[:_MOST]
        return tuple((self.classes[place], float(probabilities[place])) for place in order)


def load_classifier(target: Path, *, label: str | None = None, depth: str | None = None) -> Classifier:
    """What is to predict: a run's network, by default its best student, a network's file or a deployed file.

    ``label`` names a network of a run, ``depth`` one of a file of several depths. Raises `UnskipError` for a file that
    does not say which classes it knows or how images are prepared, and for one that answers as a teacher does.
    """
    file = net_file(target, label)
    if ending_of(file):
        runtime = runtime_for(file)
        facts = runtime.read_metadata(file)
        info = DataInfo.from_json(facts, file)
        _check_says_all(file, info)
        program = runtime.load(file, depth=depth)
        return Classifier(file, info.classes, facts, program)
    if depth is not None:
        raise UnskipError(f"`depth` is for deployed files of several depths; {file} holds one network")
    if not has_spec(file):
        raise UnskipError(
            f"{file} says neither which classes its network knows nor how images are prepared; files that unskip wrote "
            "do: of a run whose recipe has it as teacher.weights, predict with the network `teacher`"
        )
    net, info = load_net(file)
    _check_says_all(file, info)

    def logits(images: NDArray[np.float32]) -> Any:
        with torch.inference_mode():
            answers = net(torch.from_numpy(images))
        return answers.numpy() if isinstance(answers, torch.Tensor) else answers

    return Classifier(file, info.classes, info.to_json() | {"normalization": "outside"}, logits)


def images_in(paths: Sequence[Path]) -> list[Path]:
    """The images that paths name, those of folders at any depth; `UnskipError` where there are none."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = Scan(path).images(path)
            if not inside:
                raise UnskipError(f"{shown(path)} has no images, and no folder in it has any")
            files += [path / name for name in inside]
        elif path.exists():
            files.append(path)
        else:
            raise UnskipError(f"no image or folder {shown(path)}")
    return list(dict.fromkeys(files))


def _check_says_all(file: Path, info: DataInfo) -> None:
    if not info.classes:
        raise UnskipError(
            f"{file} tells no classes apart: it was trained without labels, to answer as its teacher does; "
            "`unskip evaluate` says how well"
        )
    if info.preprocessing is None:
        raise UnskipError(
            f"{file} does not say how images are prepared: an earlier version wrote it; export it, or run its recipe, "
            "again"
        )
