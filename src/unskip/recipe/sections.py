"""The sections of a recipe, and the recipe that holds them."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from unskip.errors import shortened
from unskip.recipe.data import DataRecipe
from unskip.recipe.defaults import filled_in, with_defaults
from unskip.recipe.task import TaskKey, TaskRecipe
from unskip.recipe.training import TrainingRecipe
from unskip.recipe.yaml_text import dump_yaml
from unskip.settings import Section, Title, explain


def name_and_arguments(entry: Any) -> tuple[str, dict[str, Any]]:
    """An edit as it may be written, a name or a name with its arguments; `ValueError` for anything else."""
    if isinstance(entry, str):
        return entry, {}
    if isinstance(entry, dict) and len(entry) == 1:
        [(name, arguments)] = entry.items()
        if isinstance(arguments, dict | None):
            return name, arguments or {}
    given = shortened(repr(entry))
    raise ValueError(f"an edit is a name, or one name with its arguments, {{NAME: {{argument: value}}}}, not {given}")


def _with_arguments(value: Any) -> Any:
    """Edits as names with all their arguments."""
    from unskip.surgery import edit_arguments

    if not isinstance(value, list | tuple):
        return value
    return tuple({name: edit_arguments(name, arguments)} for name, arguments in map(name_and_arguments, value))


_NORMALIZATIONS = ("imagenet", "cifar10", "data", "none", "pixels")


def _normalization(value: Any) -> Any:
    """A known name, or a mean and a standard deviation by channel; `ValueError` in one sentence for anything else."""
    if value is None or value in _NORMALIZATIONS:
        return value
    if not isinstance(value, dict) or value.keys() != {"mean", "std"}:
        raise ValueError(
            f"expected {', '.join(_NORMALIZATIONS)}, or mean and std by channel, "
            "such as {mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}"
        )
    lists = {name: list(numbers) if isinstance(numbers, list | tuple) else [numbers] for name, numbers in value.items()}
    if not lists["mean"] or len(lists["mean"]) != len(lists["std"]):
        raise ValueError(f"as many means as standard deviations, one by channel, not {value!r}")
    for name, (lowest, highest) in {"mean": (0, 1), "std": (1e-5, 10)}.items():
        for number in lists[name]:
            if isinstance(number, bool) or not isinstance(number, int | float) or not lowest <= number <= highest:
                raise ValueError(
                    f"{name} is of pixels scaled to 0..1, numbers from {lowest} to {highest}, not {number!r}; "
                    "divide by 255 what is of pixels from 0 to 255"
                )
    return {name: tuple(map(float, numbers)) for name, numbers in lists.items()}


TeacherNormalization = Annotated[str | dict[str, tuple[float, ...]] | None, BeforeValidator(_normalization)]

Edits = Annotated[tuple[dict[str, dict[str, Any]], ...], BeforeValidator(_with_arguments)]


_LABEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")  # names files


class TeacherRecipe(Section):
    """The network with shortcuts: which, and where its weights come from."""

    net: str = Field("resnet32", description="a name from `unskip nets`")
    options: dict[str, Any] = Field({}, description="arguments of that net, such as width")
    edits: Edits = Field((), description="[edits](#edits) of that net, in order: names, or names with arguments")
    weights: str | None = Field(
        None, description="a .safetensors file, a state dict (.pth), or pretrained; if left out, it is trained"
    )
    initial_weights: str | None = Field(
        None, description="such a file to start training from; a last layer with other classes is replaced"
    )
    normalization: TeacherNormalization = Field(
        None,
        description="of the images, for all networks of the run: imagenet, cifar10, data (the training images' own; "
        "ImageNet's for streamed RGB images), none (pixels from 0 to 1), pixels (0 to 255), or {mean: [..], std: [..]} "
        "by channel; by default what the weights' file states, otherwise data",
    )
    accept_weak: bool = Field(
        False,
        description="continue with a teacher at chance, far below the accuracy stated in its file, or with fresh "
        "weights if there are no labels to train it",
    )
    training: TrainingRecipe | None = Field(
        None,
        description="by default the recipe's own training section, from which also come the fields that this one "
        "leaves out, except snapshots",
    )

    @model_validator(mode="after")
    def _one_kind_of_weights(self) -> TeacherRecipe:
        if self.weights is not None and self.initial_weights is not None:
            raise ValueError(
                "give teacher.weights, which stay as they are, or teacher.initial_weights, which training begins with"
            )
        return self


class StudentRecipe(Section):
    """The network that is deployed: by default the teacher without its shortcuts.

    Without a net of its own it starts from the teacher's, the teacher's edits included.
    """

    net: str | None = Field(None, description="by default the teacher's")
    options: dict[str, Any] | None = Field(None, description="by default the teacher's")
    edits: Edits = Field(
        ({"without_shortcuts": {}},),
        validate_default=True,
        description="[edits](#edits) of that net, in order: names, or names with arguments",
    )
    init: Literal["fresh", "teacher"] = Field("fresh", description="new random weights, or the teacher's")
    initial_weights: str | None = Field(
        None, description="a file to start training from instead, such as a plain net's of an earlier run"
    )

    @model_validator(mode="after")
    def _teacher_weights_need_its_net(self) -> StudentRecipe:
        if self.init == "teacher" and self.initial_weights is not None:
            raise ValueError("student.init: teacher and student.initial_weights exclude each other")
        if self.init == "teacher" and (self.net is not None or self.options is not None):
            raise ValueError("student.init: teacher needs the teacher's own net; leave student.net and options out")
        return self


class MeasureRecipe(Section):
    """How the exported files are measured."""

    runtime: str = Field(
        "onnxruntime", description="runtime for which files are exported, and in which they are measured"
    )
    latency: bool = Field(True, description="time the exported files")
    threads: int = Field(1, ge=1, le=1024, description="the runtime's threads")
    batch_size: int = Field(1, ge=1, le=65_536, description="images per timed call")
    repeats: int = Field(50, ge=5, le=10**6, description="rounds in which every file is timed once, in fresh processes")
    parity_images: int = Field(
        256, ge=1, le=2**31 - 1, description="test images on which an exported file must agree with its net"
    )


OWN_SETTINGS = frozenset({"epochs", "optimizer", "schedule", "warmup_epochs", "clip_norm"})
"""Of a training, those that a method may have of its own."""


class Recipe(Section):
    """Everything that decides a run's result."""

    title: Title = Field("", max_length=500, description="the report's heading")
    task: TaskKey = TaskRecipe()
    data: DataRecipe = DataRecipe()
    teacher: TeacherRecipe = TeacherRecipe()
    student: StudentRecipe = StudentRecipe()
    methods: dict[str, dict[str, Any]] = Field(
        {"fade_kd": {}},
        validate_default=True,
        description="label: fields of the method; a label that is not a method's name needs the field `method`, and "
        "`training` holds epochs, optimizer, schedule, warmup_epochs and clip_norm of its own. By "
        "default align_kd if the student is not the teacher without shortcuts, or has weights of its own",
    )
    training: TrainingRecipe = TrainingRecipe()
    measure: MeasureRecipe = MeasureRecipe()
    seed: int = Field(0, ge=0, le=2**31 - 1, description="seed of initial weights, order of images, augmentation")

    @model_validator(mode="before")
    @classmethod
    def _left_open(cls, tree: Any) -> Any:
        return with_defaults(tree) if isinstance(tree, dict) else tree

    @field_validator("methods")
    @classmethod
    def _resolved(cls, methods: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Every method with all its fields, so that a run's recipe says what was run."""
        from unskip.methods import method_from

        if not methods:
            raise ValueError("methods is empty: name at least one, such as align_kd")
        resolved = {}
        for label, fields in methods.items():
            if not _LABEL.fullmatch(label) or label == "teacher":
                raise ValueError(
                    f"methods.{shortened(label)}: a label is up to 100 letters, digits, '_', '-' or '.', and not "
                    "'teacher'"
                )
            method = method_from(label, fields)
            named = {} if label == method.name else {"method": method.name}
            own = {"training": fields["training"]} if fields.get("training") else {}
            resolved[label] = named | method.model_dump(mode="json") | own
        return resolved

    @model_validator(mode="after")
    def _trainings_of_methods(self) -> Recipe:
        """Their own settings whole, so that a run's recipe says what was run."""
        for label, fields in self.methods.items():
            own = fields.get("training", {})
            others = [str(key) for key in own if key not in OWN_SETTINGS] if isinstance(own, dict) else [repr(own)]
            if others:
                raise ValueError(
                    f"methods.{label}.training takes {', '.join(sorted(OWN_SETTINGS))}, and not "
                    f"{shortened(others[0])}; all other settings are those of `training`"
                )
            if own:
                whole = self.training_of(label).model_dump(mode="json")
                fields["training"] = {name: whole[name] for name in own}
        return self

    @model_validator(mode="after")
    def _learnt_without_labels(self) -> Recipe:
        from unskip.methods import method_from
        from unskip.own_code import own_module_of

        if self.task.has_labels:
            return self
        for label, fields in self.methods.items():
            if method_from(label, fields).needs_labels:
                raise ValueError(f"methods.{label} learns from labels, and the task {self.task.name} has none")
        teacher = self.teacher
        if teacher.initial_weights is not None:
            raise ValueError(
                f"teacher.initial_weights are trained with labels, and the task {self.task.name} has none; give "
                "teacher.weights"
            )
        if teacher.weights is None and own_module_of(teacher.net) is None and not teacher.accept_weak:
            raise ValueError(
                f"without labels no teacher is trained, and {teacher.net} has fresh weights; give teacher.weights, a "
                "file or pretrained, or set teacher.accept_weak to match a network that has learned nothing"
            )
        return self

    @model_validator(mode="after")
    def _weights_of_the_student_are_used(self) -> Recipe:
        from unskip.methods import method_from

        given = self.student.initial_weights
        if given is None or any("with_fading_shortcuts" in edit for edit in self.student.edits):
            return self
        for label, fields in self.methods.items():
            if method_from(label, fields).starts_as_teacher:
                raise ValueError(
                    f"methods.{label} starts from the teacher's weights, so {shortened(given)} would not be used; "
                    "leave student.initial_weights out, or take a method that trains what it is given, such as align_kd"
                )
        return self

    def to_yaml(self) -> str:
        """The whole recipe, defaults included, as YAML that :func:`load_recipe` reads back to an equal recipe."""
        return dump_yaml(self.model_dump(mode="json"))

    def digest(self) -> str:
        """What names it in deployed files: the first 16 digits of a hash of all its fields."""
        return digest(self.model_dump(mode="json"))[:16]

    def training_of(self, label: str) -> TrainingRecipe:
        """The settings that a method trains with, by its label, or a teacher without given weights (``teacher``).

        What its own leave out is as in ``training``.
        """
        if label == "teacher":
            return self.teacher.training or self.training
        own = self.methods[label].get("training")
        if not own:
            return self.training
        tree = filled_in(self.training.model_dump(mode="json"), own)
        if "epochs" not in own:
            tree["snapshots"] = self.training.snapshots
        try:
            return TrainingRecipe.model_validate(tree)
        except ValidationError as error:
            raise ValueError(explain(error, TrainingRecipe, f"methods.{label}.training")) from error


def digest(value: object) -> str:
    """A stable hexadecimal SHA-256 of plain data."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
