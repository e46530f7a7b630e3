"""How a network is trained: optimiser, schedule, precision."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from unskip.settings import Section


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


Decay = Annotated[float, Field(ge=0, lt=1)]


class Adam(Section):
    """Adam (Kingma and Ba, 2015)."""

    name: Literal["adam"] = "adam"
    lr: float = Field(1e-3, gt=0, description="learning rate; onecycle has its own")
    betas: tuple[Decay, Decay] = Field(
        (0.9, 0.999), strict=False, description="decay of the two running means, from 0 to below 1"
    )
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty on all weights")


class AdamW(Section):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019), of kernels alone: not of biases and BatchNorm."""

    name: Literal["adamw"] = "adamw"
    lr: float = Field(1e-3, gt=0, description="learning rate; onecycle has its own")
    betas: tuple[Decay, Decay] = Field(
        (0.9, 0.999), strict=False, description="decay of the two running means, from 0 to below 1"
    )
    weight_decay: float = Field(0.05, ge=0, description="share by which a step at rate 1 shrinks a weight")


Optimizer = Annotated[SGD | Adam | AdamW, Field(discriminator="name")]


class OneCycle(Section):
    """Up to ``max_lr`` and down again once (Smith and Topin, 2019), a cosine on both sides.

    The start is ``max_lr / div_factor``: 10 makes it the optimiser's 0.01 of the AlignKD paper, where PyTorch's own
    default of 25 would not.
    """

    name: Literal["onecycle"] = "onecycle"
    max_lr: float = Field(
        0.1,
        gt=0,
        description="the highest rate; the optimiser's own is not used. If left out: 0.01 with adam and adamw; with "
        "sgd 0.05 if the network starts from trained weights (`teacher.initial_weights`, `student.init: teacher`, "
        "`student.initial_weights`)",
    )
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


_MAX_LR_OF_ADAM = 0.01
_MAX_LR_OF_FITTED = 0.0001
_MAX_LR_OF_TRAINED = 0.05  # docs/how-to/training-settings.md has the figures that both follow from


class TrainingRecipe(Section):
    """How a network is trained; the AlignKD paper's settings are the defaults where it states them."""

    epochs: int = Field(200, ge=1, le=10**6, description="passes over the training images")
    batch_size: int = Field(128, ge=1, le=2**31 - 1, description="images per step, of all processes together")
    gradient_accumulation: int = Field(
        1,
        ge=1,
        le=2**31 - 1,
        description="number of parts in which a process computes its images of a step, gradients added up: less "
        "memory, more time; BatchNorm takes its statistics over a part",
    )
    optimizer: Optimizer = SGD()
    schedule: Schedule = OneCycle()
    warmup_epochs: float = Field(
        0.0,
        ge=0,
        description="epochs at the start of every phase in which the rate rises linearly to the schedule's; onecycle "
        "rises anyway",
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of each label spread evenly over all classes; the teacher's answers are not smoothed",
    )
    mixup: float = Field(
        0.0,
        ge=0,
        le=100,
        description="alpha of mixup, which blends every image and its label with another, for teacher and student "
        "alike; 0 switches it off",
    )
    cutmix: float = Field(
        0.0,
        ge=0,
        le=100,
        description="alpha of CutMix, which pastes a rectangle of another image; with mixup, each batch gets one of "
        "the two at random",
    )
    ema_decay: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="decay per step of the averaged weights, BatchNorm's statistics included, which are validated "
        "and deployed; by default the last weights are",
    )
    clip_norm: float | None = Field(None, gt=0, description="largest norm of the gradient; none by default")
    precision: Literal["auto", "float32", "bf16"] = Field(
        "auto", description="auto: bf16 autocast where it is clearly faster on this machine, float32 elsewhere"
    )
    channels_last: Literal["auto"] | bool = Field(
        "auto", description="layout of images and maps in memory; auto: the faster one, measured by a few steps"
    )
    compile: Literal["auto"] | bool = Field(
        "auto",
        description="compile the step with PyTorch; auto: on a GPU, if faster and training takes over ten minutes",
    )
    deterministic: bool = Field(
        False, description="on a GPU, use only algorithms that give the same bits each time; on a CPU all do"
    )
    validate_every: int = Field(
        1, ge=1, le=10**6, description="epochs between two validations; the last epoch is always validated"
    )
    checkpoint_minutes: float = Field(
        5.0, gt=0, description="minutes between checkpoints within an epoch; every epoch's end is saved too"
    )
    snapshots: tuple[int, ...] = Field(
        (),
        strict=False,
        description="epochs after which the run keeps a training's weights, such as [0, 1, 2] (0: before the first "
        "step), for `unskip analyze`; none by default",
    )
    tensorboard: bool = Field(False, description="also write TensorBoard event files into the run folder")

    @field_validator("snapshots")
    @classmethod
    def _rising_epochs(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if list(value) != sorted(set(value)) or (value and value[0] < 0):
            raise ValueError("snapshots are rising numbers of epochs from 0 on, such as [0, 1, 2]")
        return value

    @model_validator(mode="after")
    def _snapshots_within(self) -> TrainingRecipe:
        if self.snapshots and self.snapshots[-1] > self.epochs:
            raise ValueError(
                f"snapshots: the training has {self.epochs} epoch{'s' * (self.epochs != 1)}, and there is no epoch "
                f"{self.snapshots[-1]}"
            )
        return self

    @property
    def highest_rate(self) -> float:
        """The learning rate that decides: the schedule's own, or the optimiser's, from which others start."""
        return self.schedule.max_lr if isinstance(self.schedule, OneCycle) else self.optimizer.lr

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
        tree = tree | named
        return _with_max_lr(tree, _MAX_LR_OF_ADAM) if _optimizer_of_open_rate(tree) in ("adam", "adamw") else tree


def with_max_lr_of_trained(section: Any) -> Any:
    """A training section, as plain data, for a network that starts from trained weights.

    Where the section leaves the highest rate of SGD open, a lower one than for fresh weights is filled in.
    """
    tree = {} if section is None else section
    return _with_max_lr(tree, _MAX_LR_OF_TRAINED) if _optimizer_of_open_rate(tree) == "sgd" else section


def with_optimizer_of_fitted(section: Any) -> Any:
    """A training section, as plain data, for a network that starts from fitted weights (`fit_kd`).

    Where the section leaves both the optimiser and the schedule open, they are filled in.
    """
    tree = {} if section is None else section
    if not isinstance(tree, dict) or tree.get("optimizer") or tree.get("schedule"):
        return section
    return {**tree, "optimizer": {"name": "adamw"}, "schedule": {"name": "onecycle", "max_lr": _MAX_LR_OF_FITTED}}


def _optimizer_of_open_rate(section: Any) -> str | None:
    """The optimiser of a training section whose onecycle schedule is given no highest rate; else None."""
    if not isinstance(section, dict):
        return None
    optimizer, schedule = (section.get(key) or {} for key in ("optimizer", "schedule"))
    if not isinstance(schedule, dict) or schedule.get("name", "onecycle") != "onecycle" or "max_lr" in schedule:
        return None
    name = optimizer.get("name", "sgd") if isinstance(optimizer, dict) else getattr(optimizer, "name", None)
    return name if isinstance(name, str) else None


def _with_max_lr(section: dict[str, Any], rate: float) -> dict[str, Any]:
    return {**section, "schedule": {"name": "onecycle", "max_lr": rate, **(section.get("schedule") or {})}}
