"""What a user asks for: a network, images, a target, a budget, and a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unskip.data import data_section
from unskip.errors import UnskipError
from unskip.measures import Measure, limits
from unskip.nets import NetSpec, find_net
from unskip.recipe import Recipe, load_recipe, parse_settings, recipe_from
from unskip.run_folder import RunFolder, net_file
from unskip.runtimes import Configuration, Estimator, find_runtime
from unskip.search import Budget
from unskip.search.on_device import check_limits
from unskip.search.recipes import entries
from unskip.shrink.lengths import PRESETS, Preset
from unskip.targets import is_folder, recognised, trained_file
from unskip.weights import load_net

_BY_DATA = ("num_classes", "in_channels")
_DECIDED = ("student", "methods", "training.epochs", "teacher.net", "teacher.edits", "measure", "task")
_BATCH_SIZE = 64
_TEACHER = "teacher"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be made.

    ``recipe`` has the data, the teacher and the training; which student, which method and how many epochs is what is
    looked for. ``limits`` are a `Budget`'s, for feature maps and weights of type ``element``; ``accuracy_drop`` is how
    many percentage points of the teacher's accuracy may be lost. The file is for ``device``, or for ``runtime`` with so
    many ``threads``. ``seconds`` is the time that all of it may take, None for what the preset takes. ``image_sizes``,
    (height, width), are others that the student may take images of. ``compiles`` are the most students that are
    compiled for the device, None for as many as go with the preset.
    """

    recipe: Recipe
    limits: Mapping[str, float | str]
    element: str = "float32"
    device: Configuration | None = None
    runtime: str = "onnxruntime"
    threads: int = 1
    accuracy_drop: float | None = None
    seconds: float | None = None
    preset: Preset = "good"
    compiles: int | None = None
    image_sizes: Sequence[tuple[int, int]] = ()
    budget: Budget = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "budget", Budget(self.limits, self.element))
        check_limits(self.budget, self.device)
        if self.preset not in PRESETS:
            raise UnskipError(f"no `preset` {self.preset!r}; known: {', '.join(PRESETS)}")
        if not self.recipe.task.has_labels:
            raise UnskipError("a network is shrunk by its accuracy, which needs images with labels")
        if self.device is None:
            runtime = find_runtime(self.runtime)
            if isinstance(runtime, Estimator):
                raise UnskipError(f"{runtime.title} is for one device; name it: {', '.join(runtime.targets)}")
            runtime.require()

    @property
    def target(self) -> str:
        """Where the file is to run, in words."""
        return str(self.device) if self.device else find_runtime(self.runtime).title

    @property
    def times_files(self) -> bool:
        """Whether the budget is about time on this machine."""
        limited = [measure for name, (measure, _) in limits().items() if name in self.limits]
        return self.device is None and any(_is_timed(measure) for measure in limited)

    def to_json(self) -> dict[str, Any]:
        """Everything that decides the result, as plain data."""
        device = self.device and {"target": self.device.target, "setting": dict(self.device.setting)}
        return {
            "recipe": self.recipe.model_dump(mode="json"),
            "limits": dict(self.limits),
            "element": self.element,
            "device": device,
            "runtime": self.runtime,
            "threads": self.threads,
            "accuracy_drop": self.accuracy_drop,
            "seconds": self.seconds,
            "preset": self.preset,
            "compiles": self.compiles,
            "image_sizes": [list(size) for size in self.image_sizes],
        }


def base_recipe(
    net: str,
    *,
    weights: str | None = None,
    initial_weights: str | None = None,
    data: str | None = None,
    image_size: tuple[int, int] | None = None,
    settings: Sequence[str] = (),
    seed: int = 0,
) -> Recipe:
    """The recipe that all trainings of a request share.

    ``net`` is a network by name, a file of weights, or a run folder, whose teacher and whose images are meant;
    ``data`` names others. ``weights`` are trained on such images, ``initial_weights`` are where a training begins;
    without either, and without a file, the network is trained first. ``settings`` change fields of the recipe. Raises
    `UnskipError` for what does not fit, and for settings of what is looked for.
    """
    tree: dict[str, Any] = {"training": {"batch_size": _BATCH_SIZE}, "seed": seed}
    trained = trained_teacher(net)
    if trained is None:
        find_net(net)  # a slip in it is said before what else is missing
        tree["teacher"] = {"net": net, "weights": weights, "initial_weights": initial_weights}
    elif weights or initial_weights:
        raise UnskipError(f"{net} is a trained network already, so it takes no other `weights`")
    else:
        tree |= trained
    if data is not None:
        tree["data"] = data_section(data)
    if "data" not in tree:
        raise UnskipError("say with `data` which images the network is for")
    if image_size is not None:
        tree["data"]["image_size"] = list(image_size)
    _check_settings(settings)
    return recipe_from(tree, settings, origin="command line")


def trained_teacher(net: str) -> dict[str, Any] | None:
    """A recipe's ``teacher`` for a trained network, and the ``data`` of the run that trained it, where there is one.

    A run folder names its teacher, a file the network in it. None where ``net`` is a network's name. Raises
    `UnskipError` for a file of which nobody knows whose weights it holds.
    """
    file = net_file(Path(net), _TEACHER) if is_folder(net) else trained_file(net)
    if file is None:
        return None
    teacher = {**_described(file), "weights": str(file)}
    run = RunFolder(file.resolve().parent.parent)
    if not run.recipe.is_file():
        return {"teacher": teacher}
    known = load_recipe(run.recipe)
    teacher["normalization"] = known.teacher.normalization
    return {"teacher": teacher, "data": run.located(known.data).model_dump(mode="json")}


def _described(file: Path) -> dict[str, Any]:
    """The network in a file as a recipe has it."""
    found = recognised(file)
    spec = load_net(file)[0].spec if found is None else NetSpec(found.source, found.options)
    assert spec is not None, "files have specs"
    options = {name: value for name, value in spec.options.items() if name not in _BY_DATA}
    return {"net": spec.source, "options": options, "edits": entries(spec.edits)}


def _check_settings(settings: Sequence[str]) -> None:
    for key in _keys(parse_settings(settings)):
        if any(key == decided or key.startswith(f"{decided}.") for decided in _DECIDED):
            raise UnskipError(f"`{key}` is what is looked for here; `unskip run` takes it")


def _keys(tree: Mapping[str, Any], above: str = "") -> list[str]:
    keys = []
    for name, value in tree.items():
        keys += _keys(value, f"{above}{name}.") if isinstance(value, dict) else [f"{above}{name}"]
    return keys


def _is_timed(measure: Measure) -> bool:
    return measure.kind == "time"
