"""What a distillation method is."""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import ValidationError
from torch import Tensor, nn

from unskip.errors import UnskipError
from unskip.methods._loss import DistillationLoss
from unskip.methods._objective import FrozenTeacher, Objective, Phase, only_trainable
from unskip.nets import StagedNet, staged
from unskip.settings import Section, explain
from unskip.surgery import fold_dirac, without_shortcuts
from unskip.tasks import Classification, Task

__all__ = [
    "DistillationLoss",
    "FrozenTeacher",
    "Method",
    "Objective",
    "Phase",
    "check_taps",
    "half_cosine",
    "only_trainable",
    "split_epochs",
]

_PACKAGE = "unskip.methods"
_FINE = 1000  # epochs into which the phases of a loop of one's own are divided where it names none


Rates = Literal["of_start", "of_fresh", "of_fitted"]
"""See `Method`."""


class Method(Section, ABC):
    """A distillation method.

    Its fields are its hyper-parameters with the paper's defaults, its file's name is its name, and its file's docstring
    is its card. ``needs_teacher`` and ``needs_labels`` say what it cannot do without. ``rates`` says which highest rate
    its training has in a recipe that names none: that of the weights that the student starts with (``of_start``: fresh
    or trained), always that of fresh ones, or that of fitted ones. ``starts_as_teacher`` says that
    :meth:`student_of` takes the teacher's weights, whatever weights it is given with shortcuts cut.
    """

    needs_teacher: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = False
    rates: ClassVar[Rates] = "of_start"
    starts_as_teacher: ClassVar[bool] = False

    def __init__(self, **fields: Any) -> None:
        """Check the fields; `UnskipError` in one sentence for what does not fit."""
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise UnskipError(explain(error, type(self), type(self).name_of_class())) from error

    @classmethod
    def name_of_class(cls) -> str:
        """The file's name; ``MODULE:CLASS`` for a method of the user's own."""
        package, _, file = cls.__module__.rpartition(".")
        return file if package == _PACKAGE else f"{cls.__module__}:{cls.__qualname__}"

    @property
    def name(self) -> str:
        """What recipes and reports call it: :meth:`name_of_class`."""
        return self.name_of_class()

    @property
    def least_steps(self) -> int:
        """The steps that a training must have, for what it changes on the way to come to its end."""
        return 1

    def student_of(self, teacher: StagedNet, requested: StagedNet) -> StagedNet:
        """The network to train, given the one that the recipe's student section asks for: just that, unless overridden.

        Raises `UnskipError` where the two do not fit the method.
        """
        return requested

    def loss(
        self,
        teacher: nn.Module | None = None,
        student: nn.Module | None = None,
        *,
        task: Task | None = None,
        epochs: int = _FINE,
    ) -> DistillationLoss:
        """The method as a loss, for :func:`unskip.distill` and for training loops of one's own.

        Networks that are no `StagedNet` are parsed. ``student`` is by default the teacher without its shortcuts, with
        its weights; what is trained is what :meth:`student_of` makes of it, which most methods leave as it is.
        ``task`` is by default classification. ``epochs`` are those of the training, of which several phases get whole
        ones. New layers draw from PyTorch's generator.

        Raises `UnskipError` without a teacher, labels or a student that the method needs, and where the two networks do
        not fit the method.
        """
        task = task or Classification()
        if self.needs_labels and not task.has_labels:
            raise UnskipError(
                f"the method {self.name} learns from labels, and the task {task.name} has none; take one that learns "
                "from the teacher alone, such as align_kd"
            )
        source = None if teacher is None else staged(teacher)
        if source is None and self.needs_teacher:
            raise UnskipError(f"the method {self.name} needs a teacher")
        if student is not None:
            edited = staged(student)
        elif source is not None:
            edited = without_shortcuts(source)
        else:
            raise UnskipError(f"the method {self.name} needs a `student` to train")
        source = edited if source is None else source
        trained = self.student_of(source, edited)
        phases = self.phases(source, trained, epochs, task)
        return DistillationLoss(trained, phases, self.deployables, functools.partial(self.prepare, source, trained))

    @abstractmethod
    def phases(self, teacher: StagedNet, student: StagedNet, epochs: int, task: Task) -> Sequence[Phase]:
        """The stretches of training, in order; their epochs add up to ``epochs``.

        ``teacher`` is the student itself where the method needs none and there is none. New layers may draw from
        PyTorch's generator, which the training seeds.
        """

    def prepare(
        self,
        teacher: StagedNet,
        student: StagedNet,
        images: Callable[[int], Tensor],
        on_progress: Callable[[str], object],
    ) -> str:
        """Give the student, in place, a start that takes images to find; returns a sentence about it, or nothing.

        It is called once, before the first step. ``images(count)`` gives so many training images, without augmentation,
        (count, channels, height, width), or as many as there are. ``on_progress`` takes words on how far it is. By
        default there is nothing to do.
        """
        return ""

    def remark(self, student: StagedNet) -> str:
        """What to say before a training of this student: nothing, unless overridden."""
        return ""

    def images_to_prepare(self, num_images: int) -> float:
        """As many training steps' images as :meth:`prepare` takes about as long as, where there are ``num_images``."""
        return 0.0

    def as_method(self, kind: type[Method]) -> Method:
        """A method of another class, with this one's values for all its fields."""
        return kind(**{name: getattr(self, name) for name in kind.model_fields})

    def continued(self) -> Method:
        """The method that trains on a network which this one has trained: itself as it stands at its end.

        A method whose student is another network on the way than the one that ships names one for what ships.
        """
        return self

    def deployables(self, student: StagedNet, images: Iterable[Tensor]) -> Mapping[str, StagedNet]:
        """What ships after training, by name: by default the student alone, its Dirac convolutions made ordinary.

        ``images`` are batches of training images (batch, channels, height, width) for methods that still look at some;
        they can be gone through again.
        """
        return {"student": fold_dirac(student)}


def half_cosine(start: float, end: float, share: float, progress: float) -> float:
    """A weight that goes from ``start`` to ``end`` by half a cosine in the first ``share`` of a training, then stays.

    share and progress: 0 to 1.
    """
    if progress >= share:
        return end
    return end + (start - end) * (1 + math.cos(math.pi * progress / share)) / 2


def split_epochs(epochs: int, phases: Sequence[str]) -> list[int]:
    """As equal shares of the epochs as there are, the first phases getting what is left over.

    Raises `UnskipError` when there are fewer epochs than phases.
    """
    if epochs < len(phases):
        raise UnskipError(f"{len(phases)} phases ({', '.join(phases)}) need at least as many epochs, not {epochs}")
    share, rest = divmod(epochs, len(phases))
    return [share + (place < rest) for place in range(len(phases))]


def check_taps(taps: Sequence[str] | None, teacher: StagedNet, student: StagedNet) -> list[int]:
    """The places, among the stages, of the maps that a feature term reads; all of them for None.

    Raises `UnskipError` for a tap that is no stage of both networks.
    """
    if taps is None and teacher.stage_names != student.stage_names:
        raise UnskipError(
            f"teacher and student have different stages ({', '.join(teacher.stage_names)} against "
            f"{', '.join(student.stage_names)}); name the taps that both have"
        )
    for tap in taps or ():
        if tap not in teacher.stage_names or tap not in student.stage_names:
            both = [name for name in teacher.stage_names if name in student.stage_names]
            raise UnskipError(f"taps: {tap!r} is no stage of both networks; they share {', '.join(both)}")
    return [index for index, name in enumerate(teacher.stage_names) if taps is None or name in taps]
