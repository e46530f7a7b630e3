"""One run as frozen, strict data: YAML in, YAML out.

A recipe says everything that decides a run's result: data, teacher, student, methods, training, what is exported and
measured, and the seed. Unknown keys and wrong types are errors that name the nearest right key.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from unskip.errors import UnskipError
from unskip.settings import Section, explain, nearest

__all__ = [
    "SGD",
    "Adam",
    "Constant",
    "Cosine",
    "DataRecipe",
    "Exponential",
    "MeasureRecipe",
    "OneCycle",
    "Optimizer",
    "Recipe",
    "Schedule",
    "Step",
    "StudentRecipe",
    "TeacherRecipe",
    "TrainingRecipe",
    "digest",
    "load_recipe",
    "load_tree",
    "named_recipes",
    "parse_setting",
    "recipe_from",
]


class DataRecipe(Section):
    """Which images, how many of them, at which size, and how they are augmented."""

    name: Literal["digits", "cifar10", "cifar100", "image_folder", "parquet"] = Field(
        "digits", description="where the images come from"
    )
    path: str | None = Field(None, description="folder of the data; cifar10/cifar100 download into it when it is empty")
    image_size: int | None = Field(
        None,
        ge=4,
        description="side in pixels; by default the images' own when all are equal and at most 64, else what the "
        "teacher expects",
    )
    limit: int | None = Field(
        None, ge=1, description="use at most this many training images, balanced over the classes"
    )
    fraction: float | None = Field(None, gt=0, le=1, description="use this share of every class's training images")
    test_limit: int | None = Field(
        None, ge=1, description="use at most this many test images, balanced over the classes"
    )
    test_fraction: float = Field(
        0.2, gt=0, lt=1, description="share held out where the data has no test split of its own"
    )
    augmentation: Literal["pad_crop", "resized_crop", "none"] | None = Field(
        None,
        description="random crop of the padded image, random resized crop, or nothing; by default by image size",
    )
    padding: int | None = Field(
        None, ge=0, description="pixels on each side for pad_crop; by default an eighth of the side"
    )
    padding_mode: Literal["zeros", "reflect"] = Field(
        "zeros", description="what stands in the padding: black, or the image mirrored"
    )
    flip: bool | None = Field(None, description="random horizontal flip; by default on, but off for digits and none")
    image_column: str | None = Field(
        None, description="Parquet: the column of images; by default the only image column"
    )
    label_column: str | None = Field(
        None, description="Parquet: the column of labels; by default the only label column"
    )
    workers: int = Field(2, ge=0, description="loader processes for images too large to live on the device")
    skip_unreadable: bool = Field(False, description="leave out images that cannot be read instead of stopping")
    seed: int = Field(0, ge=0, description="decides splits and subsets; the run's seed does not")

    @model_validator(mode="after")
    def _one_subset(self) -> DataRecipe:
        if self.limit is not None and self.fraction is not None:
            raise ValueError("give data.limit or data.fraction, not both")
        return self


class SGD(Section):
    """Stochastic gradient descent with momentum."""

    name: Literal["sgd"] = "sgd"
    lr: float = Field(0.01, gt=0, description="learning rate; onecycle has its own")
    momentum: float = Field(0.9, ge=0, lt=1, description="share of the last step that is kept")
    nesterov: bool = Field(True, description="Nesterov's form of the momentum")
    weight_decay: float = Field(5e-4, ge=0, description="L2 penalty on all weights")

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> SGD:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0; set nesterov to false")
        return self


class Adam(Section):
    """Adam (Kingma and Ba, 2015)."""

    name: Literal["adam"] = "adam"
    lr: float = Field(1e-3, gt=0, description="learning rate; onecycle has its own")
    betas: tuple[float, float] = Field((0.9, 0.999), strict=False, description="decay of the two running means")
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty on all weights")


Optimizer = Annotated[SGD | Adam, Field(discriminator="name")]


class OneCycle(Section):
    """Up to ``max_lr`` and down again once (Smith and Topin, 2019), a cosine on both sides.

    The start is ``max_lr / div_factor``: 10 makes it the optimiser's 0.01 of the AlignKD paper, where PyTorch's own
    default of 25 would not.
    """

    name: Literal["onecycle"] = "onecycle"
    max_lr: float = Field(0.1, gt=0, description="the highest rate; the optimiser's own is not used")
    div_factor: float = Field(10.0, ge=1, description="the first rate is max_lr divided by this")
    final_div_factor: float = Field(1e4, ge=1, description="the last rate is the first divided by this")
    warmup: float = Field(0.3, gt=0, lt=1, description="share of the steps on the way up")


class Step(Section):
    """The optimiser's rate times ``gamma`` at each milestone."""

    name: Literal["step"] = "step"
    milestones: tuple[float, ...] = Field(
        (0.5, 0.75), strict=False, description="shares of the epochs, between 0 and 1"
    )
    gamma: float = Field(0.1, gt=0, lt=1, description="factor at each milestone")

    @field_validator("milestones")
    @classmethod
    def _rising(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < m < 1 for m in value) or list(value) != sorted(set(value)):
            raise ValueError("milestones are rising shares of the epochs between 0 and 1, such as [0.5, 0.75]")
        return value


class Exponential(Section):
    """The optimiser's rate times ``gamma`` after every epoch."""

    name: Literal["exponential"] = "exponential"
    gamma: float = Field(0.98, gt=0, lt=1, description="factor after every epoch")


class Cosine(Section):
    """From the optimiser's rate to ``final_lr`` along half a cosine."""

    name: Literal["cosine"] = "cosine"
    final_lr: float = Field(0.0, ge=0, description="the last rate")


class Constant(Section):
    """The optimiser's rate throughout."""

    name: Literal["constant"] = "constant"


Schedule = Annotated[OneCycle | Step | Exponential | Cosine | Constant, Field(discriminator="name")]


class TrainingRecipe(Section):
    """How a network is trained; the AlignKD paper's settings are the defaults where it states them."""

    epochs: int = Field(200, ge=1, description="passes over the training images")
    batch_size: int = Field(128, ge=1, description="images per step, of all processes together")
    optimizer: Optimizer = SGD()
    schedule: Schedule = OneCycle()
    clip_norm: float | None = Field(None, gt=0, description="largest norm of the gradient; none by default")
    precision: Literal["auto", "float32", "bf16"] = Field(
        "auto", description="auto: bf16 autocast where the chip computes in bf16, float32 elsewhere"
    )
    channels_last: Literal["auto"] | bool = Field("auto", description="auto: together with bf16")
    validate_every: int = Field(
        1, ge=1, description="epochs between two validations; the last epoch is always validated"
    )
    checkpoint_minutes: float = Field(5.0, gt=0, description="within an epoch; every epoch's end is saved besides")
    tensorboard: bool = Field(False, description="also write TensorBoard event files into the run folder")

    @model_validator(mode="before")
    @classmethod
    def _default_kinds(cls, tree: Any) -> Any:
        """``training.optimizer.lr=0.05`` alone means the default optimiser with another rate."""
        if not isinstance(tree, dict):
            return tree
        named = {}
        for key in ("optimizer", "schedule"):
            if isinstance(tree.get(key), dict) and "name" not in tree[key]:
                named[key] = {"name": cls.model_fields[key].default.name, **tree[key]}
        return tree | named


class TeacherRecipe(Section):
    """The network with shortcuts: which, and where its weights come from."""

    net: str = Field("resnet32", description="a name from `unskip nets`")
    options: dict[str, Any] = Field({}, description="arguments of that net, such as width")
    weights: str | None = Field(None, description="a .safetensors file, or a torchvision .pth; trained here if absent")
    training: TrainingRecipe | None = Field(None, description="by default the recipe's own training section")


class StudentRecipe(Section):
    """The network that is deployed: by default the teacher without its shortcuts."""

    net: str | None = Field(None, description="by default the teacher's")
    options: dict[str, Any] | None = Field(None, description="by default the teacher's")
    keep: tuple[str, ...] = Field(
        (),
        strict=False,
        description="shortcuts to keep: blocks (stage2.block1), stages (stage2), or a kind (identity, projection)",
    )
    init: Literal["fresh", "teacher"] = Field("fresh", description="new random weights, or the teacher's")

    @model_validator(mode="after")
    def _teacher_weights_need_its_net(self) -> StudentRecipe:
        if self.init == "teacher" and (self.net is not None or self.options is not None):
            raise ValueError("student.init: teacher needs the teacher's own net; leave student.net and options out")
        return self


class MeasureRecipe(Section):
    """How the exported files are measured."""

    latency: bool = Field(True, description="time the exported files in ONNX Runtime")
    threads: int = Field(1, ge=1, description="ONNX Runtime's intra-op threads")
    batch_size: int = Field(1, ge=1, description="images per timed call")
    repeats: int = Field(50, ge=5, description="timed calls of each file, interleaved")
    parity_images: int = Field(256, ge=1, description="test images on which an exported file must agree with its net")


class Recipe(Section):
    """Everything that decides a run's result."""

    title: str = Field("", description="the report's heading")
    data: DataRecipe = DataRecipe()
    teacher: TeacherRecipe = TeacherRecipe()
    student: StudentRecipe = StudentRecipe()
    methods: dict[str, dict[str, Any]] = Field(
        {"align_kd": {}},
        validate_default=True,
        description="label: fields of the method; a label that is no method's name needs a field `method`",
    )
    training: TrainingRecipe = TrainingRecipe()
    measure: MeasureRecipe = MeasureRecipe()
    seed: int = Field(0, ge=0, le=2**31 - 1, description="decides initial weights, the order of images, augmentation")

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
                raise ValueError(f"methods.{label}: a label is letters, digits, '_', '-' or '.', and not 'teacher'")
            method = method_from(label, fields)
            resolved[label] = ({} if label == method.name else {"method": method.name}) | method.model_dump(mode="json")
        return resolved

    def to_yaml(self) -> str:
        """The whole recipe, defaults included, as YAML that :func:`load_recipe` reads back to an equal recipe."""
        return str(yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True))

    def teacher_training(self) -> TrainingRecipe:
        """The training section that a teacher without given weights is trained with."""
        return self.teacher.training or self.training


_LABEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def digest(value: object) -> str:
    """A stable hexadecimal SHA-256 of plain data."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def named_recipes() -> dict[str, Path]:
    """The recipes that come with the project, by name."""
    here = Path(__file__).resolve().parent
    installed, checkout = here / "recipes", here.parents[1] / "recipes"
    folder = installed if installed.is_dir() else checkout
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def load_tree(source: str | Path) -> dict[str, Any]:
    """The plain data of a recipe: a YAML file, or the name of one that comes with the project."""
    known = named_recipes()
    path = known.get(str(source), Path(source))
    if not path.is_file():
        near = nearest(str(source), known)
        raise UnskipError(f"no recipe {str(source)!r}: neither a file nor one of `unskip recipes`{near}")
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UnskipError(f"{path} is not YAML: {error}") from error
    if not isinstance(tree, dict):
        raise UnskipError(f"{path} must hold keys and values (a mapping), such as `seed: 0`")
    return tree


def load_recipe(source: str | Path, settings: Sequence[str] = ()) -> Recipe:
    """Read a recipe from a YAML file, or by the name of one that comes with the project.

    ``settings`` are changes such as ``training.epochs=8``, applied before anything is checked.
    """
    return recipe_from(load_tree(source), settings, origin=str(source))


class _Loader(yaml.SafeLoader):
    """YAML 1.2's numbers: ``1e-4`` is one, where YAML 1.1 reads a text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


def recipe_from(tree: Mapping[str, Any], settings: Sequence[str] = (), *, origin: str = "recipe") -> Recipe:
    """A recipe from plain data, with settings such as ``training.epochs=8`` applied on top."""
    changed: dict[str, Any] = json.loads(json.dumps(tree))
    for setting in settings:
        _apply(changed, setting)
    try:
        return Recipe.model_validate(changed)
    except ValidationError as error:
        raise UnskipError(explain(error, Recipe, origin)) from error


def parse_setting(setting: str) -> tuple[str, Any]:
    """Key and value of a setting such as ``training.epochs=8``; the value is YAML."""
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise UnskipError(f"--set {setting!r}: expected KEY=VALUE, such as training.epochs=8")
    try:
        return key, yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise UnskipError(f"--set {setting!r}: the value is not YAML: {error}") from error


def _apply(tree: dict[str, Any], setting: str) -> None:
    key, value = parse_setting(setting)
    *parents, last = key.split(".")
    node = tree
    for parent in parents:
        child = node.get(parent)
        node[parent] = child = {} if child is None else child
        if not isinstance(child, dict):
            raise UnskipError(f"--set {setting!r}: {parent} is a value and has no fields of its own")
        node = child
    node[last] = value
