"""The winner: an ordinary run in the time that is left, and its file on the target."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from unskip.export import Exported, format_for
from unskip.exporting import export_target
from unskip.files import write_json, write_text
from unskip.recipe import MeasureRecipe, Recipe, load_recipe
from unskip.records import Proof, Run, Trial, Winner
from unskip.run import run_recipe
from unskip.run_folder import RunFolder
from unskip.shrink.candidates import STUDENT, recipe_of
from unskip.shrink.on_target import Costs, OnTarget
from unskip.shrink.work import Work

_VALIDATION_SHARE = 0.05  # of the training, at most
_QAT_EPOCHS, _QAT_STEP, _QAT_SHARE = 2, 3.0, 0.1  # a step in 8 bits takes so many times as long; most of the time


def make_winner(work: Work, trial: Trial, step_seconds: float) -> tuple[Winner, Path]:
    """Train a trial's student for the time that is left, export it, and measure its file, or find all that done.

    The recipe that does so alone lies in the folder.
    """
    recipe = _recipe(work, trial, step_seconds)
    epochs = recipe.training.epochs
    work.say("training the winner")
    planned = work.plan.winner_epochs
    length = f"{epochs:,} epoch{'s' * (epochs != 1)}"
    work.print(f"winner: {trial.words}, {length}{f', {planned:,} were planned' if planned not in (0, epochs) else ''}")
    run = run_recipe(recipe, work.folder.winner, console=work.console)
    target = OnTarget(work.request, work.say)
    exported = _exported(work, target, run)
    work.console.print(f"file: {exported.path}", highlight=False, soft_wrap=True)
    costs = target.costs(work.folder.path / work.plan.teacher_file, {STUDENT: exported.path})
    return _record(work, trial, recipe, run, exported, costs), exported.path


def _recipe(work: Work, trial: Trial, step_seconds: float) -> Recipe:
    """The winner's recipe, as it was made first."""
    path = work.folder.recipe
    if path.is_file():
        return load_recipe(path)
    first_look, batch = work.first_look, work.first_look.recipe.training.batch_size
    epoch_seconds = step_seconds * max(1, first_look.data.num_train // batch)
    validation = first_look.evaluation_seconds
    every = max(1, math.ceil(validation / (_VALIDATION_SHARE * epoch_seconds)))
    with_validation = step_seconds * (1 + validation / every / epoch_seconds)
    in_8_bits = _qat_epochs(work, epoch_seconds) * _QAT_STEP * epoch_seconds
    length = work.winner_length(trial, in_8_bits, with_validation)
    recipe = recipe_of(first_look.recipe, trial, length, first_look.data.num_train)
    usual = recipe.measure.runtime if work.request.device else work.request.runtime
    measure = MeasureRecipe(runtime=usual, threads=work.request.threads, latency=False)
    training = recipe.training.model_copy(update={"validate_every": min(every, length.epochs)})
    recipe = recipe.model_copy(update={"measure": measure, "training": training})
    write_text(path, recipe.to_yaml())
    return recipe


def _qat_epochs(work: Work, epoch_seconds: float) -> int:
    """How many epochs of training in 8 bits there is time for, all or none."""
    costs = _QAT_EPOCHS * _QAT_STEP * epoch_seconds
    in_8_bits = work.plan.eight_bits is not None
    return _QAT_EPOCHS if in_8_bits and costs <= _QAT_SHARE * work.plan.total_seconds else 0


def _exported(work: Work, target: OnTarget, run: Run) -> Exported:
    """The file of the run's student; in 8 bits it is kept whatever it loses, since the record says so."""
    folder, bits = RunFolder(work.folder.winner), work.plan.eight_bits
    more: dict[str, Any] = {}
    if bits is not None:
        write_json(folder.int8 / bits.file_name, bits.model_dump(mode="json"))  # so that nobody looks at it again
        epochs = run.epochs_of(run.best_student)
        per_epoch = epochs[-1].seconds / len(epochs) if epochs else math.inf
        more = {"int8": target.int8, "max_drop": 1.0, "qat_epochs": _qat_epochs(work, per_epoch)}
    place = str(work.folder.path / f"{STUDENT}{target.ending}")
    (exported,) = export_target(work.folder.winner, place, device=work.request.device, console=work.console, **more)
    return exported


def _record(work: Work, trial: Trial, recipe: Recipe, run: Run, exported: Exported, costs: Costs) -> Winner:
    data, scores, net = work.first_look.data_of(trial.input_shape), exported.scores, run.best_student
    assert scores is not None, "files of classifiers are scored"
    epochs, kind = run.epochs_of(net), format_for(exported.path)
    return Winner(
        label=trial.label,
        method=recipe.methods[STUDENT]["method"],
        epochs=recipe.training.epochs * (recipe.data.fraction or 1),
        planned_epochs=work.plan.winner_epochs or None,
        seconds=epochs[-1].seconds if epochs else 0.0,
        score=run.score(net),
        weights=RunFolder(Path(work.folder.winner.name)).weights(net.label).as_posix(),
        file=exported.path.name,
        beside=tuple(file.name for file in kind.files(exported.path) if file != exported.path),
        deployed=tuple(file.name for file in kind.deployed(exported.path)),
        format=exported.format,
        runtime=costs.runtime,
        precision=exported.precision,
        sha256=costs.sha256[STUDENT] or "",
        file_score=scores.file.value,
        proof=_proof(exported),
        figures=dict(costs.figures[STUDENT]),
        recipe=recipe.model_dump(mode="json"),
        input_shape=data.image_shape,
        mean=data.mean,
        std=data.std,
        preprocessing=data.preprocessing.to_json(),
    )


def _proof(exported: Exported) -> Proof:
    return Proof(
        runtime=exported.runtime,
        images=exported.images,
        max_difference=exported.max_difference,
        mean_difference=exported.mean_difference,
        tolerance=exported.tolerance,
        agreement=exported.agreement,
        quantized_agreement=exported.quantized and exported.quantized.agreement,
        quantization=exported.quantization.describe() if exported.quantization else "",
    )
