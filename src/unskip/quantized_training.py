"""A run's network trained on with fake quantisation: by the run's loss, from its teacher, on its images."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console

from unskip.data import Data
from unskip.errors import UnskipError, first_line
from unskip.export import QuantizationAwareTraining, Scores, with_normalization
from unskip.methods import Method, method_from
from unskip.methods.ce import CE
from unskip.methods.kd import KD
from unskip.nets import StagedNet
from unskip.recipe import Cosine, Recipe, TrainingRecipe
from unskip.run_folder import RunFolder
from unskip.tasks import Task
from unskip.training import Monitor, train_student
from unskip.units import points
from unskip.weights import load_net

_RATE = 0.01  # of the highest rate of the run's training
_CLIP_NORM = 1.0  # a folded BatchNorm may have left weights of very different sizes


@dataclass(frozen=True)
class QuantizedTraining:
    """How the network ``label`` of a run is trained on in 8 bits.

    ``data`` are the run's images as the file takes them, ``normalization`` is what the file does to them by itself
    before the network sees them, None where they are normalised outside.
    """

    run: RunFolder
    recipe: Recipe
    label: str
    data: Data
    task: Task
    normalization: tuple[tuple[float, ...], tuple[float, ...]] | None
    console: Console

    def for_epochs(self, epochs: int) -> QuantizationAwareTraining | None:
        """The training for an export; None where ``epochs`` is 0."""
        if epochs == 0:
            return None

        def train(student: StagedNet, scores: Scores) -> None:
            self._train(student, scores, epochs)

        return QuantizationAwareTraining(train, epochs)

    def _train(self, student: StagedNet, scores: Scores, epochs: int) -> None:
        method = self._method()
        self.console.print(
            f"{self.label}: 8 bits after training lose {points(scores.drop)} points of {scores.file.metric}; training "
            f"on in 8 bits under the loss of {method.name}, {epochs} epoch{'s' * (epochs > 1)}",
            highlight=False,
        )
        teacher = load_net(self.run.weights("teacher"))[0]
        try:
            train_student(
                teacher if self.normalization is None else with_normalization(teacher, *self.normalization),
                self.data,
                method,
                student=student,
                training=slowly(self.recipe.training_of(self._label_of_training()), epochs),
                task=self.task,
                seed=self.recipe.seed,
                monitor=Monitor(f"{self.label} in 8 bits", self.console),
            )
        except RuntimeError as error:  # of fake quantisation whose ranges are no longer finite, for instance
            raise UnskipError(f"the training in 8 bits diverged ({first_line(error)})") from error

    def _method(self) -> Method:
        """The method that trained the network, as it goes on; a teacher learns from the labels, or from itself."""
        label = self._label_of_training()
        if label == "teacher":
            return CE() if self.task.has_labels else KD(alpha=1.0)
        return method_from(label, self.recipe.methods[label]).continued()

    def _label_of_training(self) -> str:
        """Of the one that gave the network."""
        if self.label == "teacher":
            return self.label
        nets = self.run.load_results().nets
        label = next((net.training or net.label for net in nets if net.label == self.label), self.label)
        if label not in self.recipe.methods:
            raise UnskipError(f"no training of {self.run.path} gave a network {self.label!r}")
        return label


def slowly(training: TrainingRecipe, epochs: int) -> TrainingRecipe:
    """The settings of a training for going on: a hundredth of its highest rate, down to nothing along a cosine.

    In float32, so that the steps of 8 bits are what they will be.
    """
    return training.model_copy(
        update={
            "epochs": epochs,
            "optimizer": training.optimizer.model_copy(update={"lr": _RATE * training.highest_rate}),
            "schedule": Cosine(),
            "warmup_epochs": 0.0,
            "mixup": 0.0,  # the ranges of what flows are observed on images as they are
            "cutmix": 0.0,
            "ema_decay": None,
            "clip_norm": min(training.clip_norm or _CLIP_NORM, _CLIP_NORM),
            "precision": "float32",
            "channels_last": False,
            "validate_every": epochs,
            "snapshots": (),
            "tensorboard": False,
        }
    )
