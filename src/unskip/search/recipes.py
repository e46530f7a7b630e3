"""Students as recipes that can be run."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import yaml

from unskip.errors import UnskipError
from unskip.files import write_text
from unskip.methods import method_class, method_from
from unskip.methods.fade_joint_rd import FadeJointRD
from unskip.methods.fade_kd import FadeKD
from unskip.nets import NetSpec, StagedNet, find_net
from unskip.nets.fading import fading_blocks
from unskip.own_code import own_module_of
from unskip.runtimes import Configuration, configured
from unskip.search.student import Student
from unskip.settings import arguments_of
from unskip.surgery import Edit, edited, residual_blocks, with_fading_shortcuts, without_shortcuts
from unskip.tasks import Classification

MY_WEIGHTS = Path("MY_WEIGHTS")
"""Stands for a file with the weights of a network that is trained already."""

FROM_TEACHER: Mapping[str, Any] = {"epochs": 30, "schedule": {"max_lr": 0.05}}
"""How a student with a trained network's weights is trained: for less long and at a lower rate than a new network."""

_BY_DATA = ("num_classes", "in_channels")  # options that a run fills in from its images


def method_for(teacher: StagedNet, student: Student) -> str:
    """The method that a student is trained with unless somebody knows better, on the meta device.

    Sub-nets are trained together by ``embedded_kd``. For others it is the first that takes the pair: where the student
    is the teacher without shortcuts ``fade_kd``, ``fade_joint_rd`` or ``fit_kd``, by how many these are; ``align_kd``
    where their stages have maps to compare; ``kd``.
    """
    if student.sub_net:
        return "embedded_kd"
    names = (*_for_plain(teacher, student), "fade_kd", "align_kd")
    return next((name for name in names if _takes(name, teacher, student.edits)), "kd")


def _for_plain(teacher: StagedNet, student: Student) -> tuple[str, ...]:
    """What suits a teacher without the shortcuts that the student lacks, the best first."""
    many = len(residual_blocks(teacher)) - student.shortcuts
    if many <= FadeKD.most_shortcuts:
        return ("fade_kd",)
    return ("fade_joint_rd", "fit_kd") if many <= FadeJointRD.most_shortcuts else ("fit_kd",)


_TAKEN: WeakKeyDictionary[StagedNet, dict[tuple[str, str], bool]] = WeakKeyDictionary()


def _takes(name: str, teacher: StagedNet, edits: Sequence[Edit]) -> bool:
    """Whether a method can train the student that edits make; each is asked once, since that takes long."""
    answers, place = _TAKEN.setdefault(teacher, {}), json.dumps(list(edits))
    if (name, place) not in answers:
        method = method_from(name, {})
        try:
            method.phases(teacher, method.student_of(teacher, _edited(teacher, place)), 1, Classification())
            answers[name, place] = True
        except UnskipError:
            answers[name, place] = False
    return answers[name, place]


@lru_cache(maxsize=8)
def _edited(teacher: StagedNet, edits: str) -> StagedNet:
    """One of the last students that were asked about; ``edits`` are written as JSON. Many begin alike."""
    *first, last = json.loads(edits) or [None]
    return edited(_edited(teacher, json.dumps(first)), [last], seed=0) if last else teacher


def from_teacher(teacher: StagedNet, student: Student) -> dict[str, Any]:
    """The sections of a recipe for a student and its method where the teacher is trained.

    Its shortcuts fade, or those that are too many for that are cut and the blocks fitted. Where other edits leave
    another network than the teacher without shortcuts, it is one with fading shortcuts that is asked for.
    """
    names = {without_shortcuts.__name__: with_fading_shortcuts.__name__}
    faded = [(names.get(name, name), arguments) for name, arguments in student.edits]
    edits, method = list(student.edits), method_for(teacher, student)
    loses_more = not method_class(method).starts_as_teacher and faded != edits
    if loses_more and _takes("fade_kd", teacher, faded):
        many = len(fading_blocks(_edited(teacher, json.dumps(faded))))
        deep = many > FadeKD.most_shortcuts and _takes("fade_joint_rd", teacher, faded)
        edits, method = faded, "fade_joint_rd" if deep else "fade_kd"
    return {"student": {"edits": entries(edits), "init": "teacher"}, "methods": {method: {}}}


def recipe_tree(
    net: StagedNet,
    student: Student,
    *,
    image_size: tuple[int, int],
    depths: Sequence[Sequence[int]] = (),
    weights: Path | None = None,
) -> dict[str, Any]:
    """A recipe as plain data: the teacher by its spec, the student by its edits, its method with the defaults.

    Which images is left open, but for their (height, width). ``depths`` are those of all sub-nets that are trained
    together, ``weights`` a file with the teacher's: students begin with these then, unless they have new layers, and
    train for a fraction of the usual epochs. Pruned students always begin with the teacher's weights, which say what
    goes.
    """
    spec = net.spec
    assert spec is not None
    defaults = {name: field.default for name, field in arguments_of(find_net(spec.source).factory).model_fields.items()}
    options = {
        name: value
        for name, value in spec.options.items()
        if name not in _BY_DATA and (name not in defaults or defaults[name] != value)
    }
    teacher: dict[str, Any] = {"net": spec.source} | ({"options": options} if options else {})
    if spec.edits:
        teacher["edits"] = entries(spec.edits)
    if weights is not None:
        teacher["weights"] = str(weights)
    edits = student.whole_edits if student.sub_net else student.edits
    fields = {"depths": [list(depth) for depth in depths]} if student.sub_net else {}
    tree = {
        "title": f"{spec}: {_words(student)}",
        "data": {"image_size": list(image_size) if len(set(image_size)) > 1 else image_size[0]},
        "teacher": teacher,
        "student": {"edits": entries(edits)},
        "methods": {method_for(net, student): fields},
    }
    if not student.sub_net and student.groups == 1 and (weights is not None or student.pruned):
        tree |= from_teacher(net, student)
        if weights is not None:
            fits = "fit_kd" in tree["methods"]  # which has a rate of its own
            tree["training"] = {name: value for name, value in FROM_TEACHER.items() if not fits or name == "epochs"}
    return tree


def command(tree: Mapping[str, Any], file: Path | None = None) -> str:
    """The command that runs a recipe, or its file; MY_IMAGES stands for the images."""
    teacher = dict(tree["teacher"])
    net, words = teacher.pop("net"), ["unskip", "run"]
    if file is not None:
        module = own_module_of(net)
        words += [str(file), *(["--allow-module", module] if module else [])]
    else:
        ((method, fields),) = tree["methods"].items()
        words += ["--teacher", net, "--method", method]
        settings = {f"teacher.{key}": value for key, value in teacher.items()}
        for section in ("student", "data", "training"):
            settings |= {f"{section}.{key}": value for key, value in tree.get(section, {}).items()}
        settings |= {f"methods.{method}.{key}": value for key, value in fields.items()}
        for key, value in settings.items():
            words += ["--set", f"{key}={in_one_line(value)}"]
    return f"{shlex.join(words)} --data MY_IMAGES"


def export_command(device: Configuration) -> str:
    """The command that exports the run of a recipe for a device; RUN stands for its folder."""
    usual = configured(device.target).setting
    words = ["unskip", "export", "RUN", "--to", device.runtime.replace("_", "-"), "--target", device.target]
    for name, value in device.setting.items():
        if usual.get(name) != value:
            words += [f"--{name.replace('_', '-')}", value]
    return shlex.join(words)


def file_name(spec: NetSpec, student: Student) -> str:
    """The name of a recipe's file, one for all sub-nets of a network."""
    return f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', f'{spec.source} {_words(student)}').strip('-')}.yaml"


def write_recipe(path: Path, tree: Mapping[str, Any], remarks: Sequence[str]) -> None:
    """Write a recipe as YAML that `load_recipe` reads, with remarks above it."""
    head = "".join(f"# {remark}\n" for remark in remarks)
    write_text(path, head + yaml.safe_dump(dict(tree), sort_keys=False, allow_unicode=True, width=100))


def _words(student: Student) -> str:
    """What is told apart: one recipe trains all sub-nets of a network."""
    return re.sub("sub-net .*", "sub-nets", str(student))


def entries(edits: Sequence[Edit]) -> list[Any]:
    """Edits as recipes have them: a name, or a name with its arguments."""
    return [{name: dict(arguments)} if arguments else name for name, arguments in edits]


def in_one_line(value: Any) -> str:
    """A value as YAML in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"))
    return text.removesuffix("...\n").strip()
