"""The networks that a recipe asks for, and whether they can be had, before anything takes time."""

from __future__ import annotations

import copy
from pathlib import Path

import torch

from unskip.data import Data
from unskip.dataflow import forecast
from unskip.errors import UnskipError
from unskip.methods import method_from
from unskip.nets import NetSpec, StagedNet
from unskip.nets.within_memory import check_memory
from unskip.recipe import Edits, Recipe, digest
from unskip.surgery import Edit, build, edited
from unskip.tasks import make_task
from unskip.weights import load_initial_weights


def check_nets(recipe: Recipe) -> None:
    """Raise `UnskipError` for what cannot be built, a student or a phase that cannot be, before images are read."""
    task = make_task(**dict(recipe.task)).smoothed(recipe.training.label_smoothing)
    with torch.device("meta"):  # without memory
        teacher, student = (build(spec, seed=0) for spec in (teacher_spec(recipe), student_spec(recipe)))
        for label, fields in recipe.methods.items():
            try:
                method_from(label, fields).loss(teacher, student, task=task, epochs=recipe.training_of(label).epochs)
            except UnskipError as error:
                raise UnskipError(f"methods.{label}: {error}") from error


def requested_teacher(recipe: Recipe, data: Data) -> StagedNet:
    """The teacher with fresh weights; without those of a file, which :mod:`unskip.run` loads."""
    return build(spec_for_data(teacher_spec(recipe), data), seed=seed_for(recipe, "teacher"))


def requested_student(recipe: Recipe, data: Data, teacher: StagedNet) -> StagedNet:
    """The student that the recipe asks for, before a method makes its own of it, with the weights that it starts from.

    Raises `UnskipError` for weights that do not fit it.
    """
    section = recipe.student
    if section.init == "teacher":
        return edited(copy.deepcopy(teacher), edit_pairs(section.edits), seed=seed_for(recipe, "student"))
    student = build(spec_for_data(student_spec(recipe), data), seed=seed_for(recipe, "student"))
    if section.initial_weights is not None:
        load_initial_weights(student, Path(section.initial_weights))
    return student


def seed_for(recipe: Recipe, purpose: str) -> int:
    """A seed that follows from the recipe's, one for each purpose."""
    return int(digest([recipe.seed, purpose])[:8], 16) % 2**31


def batches_seed(recipe: Recipe, label: str) -> int:
    """The seed of a training's batches: all students see the same ones."""
    return seed_for(recipe, "teacher batches" if label == "teacher" else "student batches")


def teacher_spec(recipe: Recipe) -> NetSpec:
    """The teacher as the recipe has it, before the data's classes and channels are known."""
    return NetSpec(recipe.teacher.net, recipe.teacher.options, edit_pairs(recipe.teacher.edits))


def student_spec(recipe: Recipe) -> NetSpec:
    """The student as the recipe has it: from the teacher's net on, unless it has one of its own."""
    own = recipe.student
    start = teacher_spec(recipe) if own.net is None else NetSpec(own.net)
    options = start.options if own.options is None else own.options
    return NetSpec(start.source, options, (*start.edits, *edit_pairs(own.edits)))


def edit_pairs(edits: Edits) -> tuple[Edit, ...]:
    """Edits as a spec has them."""
    return tuple(pair for entry in edits for pair in entry.items())


def spec_for_data(spec: NetSpec, data: Data) -> NetSpec:
    """A spec with the data's classes and channels filled in."""
    classes = {"num_classes": len(data.classes)} if data.classes else {}
    needed = {**classes, "in_channels": data.image_shape[0]}
    for option, count in needed.items():
        given = spec.options.get(option, count)
        if given != count:
            raise UnskipError(f"{spec.source}: {option} is {given}, but {data.name} needs {count}")
    return NetSpec(spec.source, {**spec.options, **needed}, spec.edits)


def check_image_size(recipe: Recipe, data: Data) -> None:
    """Raise `UnskipError`, before anything is trained, where images are too small or too large for a network."""
    for spec in (teacher_spec(recipe), student_spec(recipe)):
        with torch.device("meta"):
            net = build(spec_for_data(spec, data), seed=0)
        try:
            timeline = forecast(net, data.image_shape)
        except UnskipError as error:
            raise UnskipError(f"{spec.source}: {error}; data.image_size can make images larger") from error
        images = f"images of {'x'.join(map(str, data.image_shape))} in {spec.source}"
        batch = min(recipe.training.batch_size, data.num_train)
        check_memory(
            batch * timeline.moved_bytes / 4,  # about half of it is written, half of that is kept for the backward pass
            f"a step with {batch:,} {images}",
            "lower training.batch_size or data.image_size",
        )
        check_memory(
            recipe.measure.batch_size * timeline.peak_bytes,
            f"measuring with {recipe.measure.batch_size:,} {images}",
            "lower measure.batch_size or data.image_size",
        )
