"""What a recipe leaves open and other sections decide: the method, and how networks that are trained already train."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from unskip.errors import UnskipError
from unskip.recipe.training import TrainingRecipe, with_max_lr_of_trained, with_optimizer_of_fitted

_Filling = Callable[[Any], Any]


def with_defaults(tree: dict[str, Any]) -> dict[str, Any]:
    """A recipe's tree with a method, and with the training that suits what teacher and student start from.

    A training that starts from trained weights has a lower default rate, and its section says so. Methods may know
    better (see `Method.rates`): those whose training is another one than the section's get their own, ``training``.
    """
    tree = _with_default_method(tree)
    teacher, student = (tree.get(key) or {} for key in ("teacher", "student"))
    if not isinstance(teacher, dict) or not isinstance(student, dict):
        return tree
    changed, training = dict(tree), tree.get("training")
    of_teacher = filled_in(training, teacher.get("training"))
    if teacher.get("training") is not None:
        changed["teacher"] = {**teacher, "training": of_teacher}
    if teacher.get("initial_weights") is not None:
        of_teacher = with_max_lr_of_trained(of_teacher)
    starts_trained = student.get("init") == "teacher" or student.get("initial_weights") is not None
    fill = {
        "of_fresh": lambda section: section,
        "of_start": with_max_lr_of_trained if starts_trained else lambda section: section,
        "of_fitted": with_optimizer_of_fitted,
    }
    rates = _rates(tree["methods"])
    kinds = set(rates.values())
    shared = fill[kinds.pop() if len(kinds) == 1 else "of_start" if "of_start" in kinds or not kinds else "of_fresh"]
    if shared(training) is not None:
        changed["training"] = shared(training)
    for label, kind in rates.items():
        fields = _with_training(tree["methods"][label], training, fill[kind], shared)
        changed["methods"] = {**changed["methods"], label: fields}
    if of_teacher != changed.get("training") and teacher.get("weights") is None:
        changed["teacher"] = {**teacher, "training": {} if of_teacher is None else of_teacher}
    return changed


def filled_in(shared: Any, own: Any) -> Any:
    """A training section: what a network's own leaves out is as in the recipe's; no setting resets others."""
    shared, own = (
        section.model_dump(exclude_unset=True) if isinstance(section, TrainingRecipe) else section
        for section in (shared, own)
    )
    if own is None or not isinstance(shared, dict) or not isinstance(own, dict):
        return shared if own is None else own
    filled = {name: value for name, value in shared.items() if name != "snapshots"} | own  # its epochs may be fewer
    for kind in ("optimizer", "schedule"):  # without a name they are another rate of the same
        if isinstance(own.get(kind), dict) and "name" not in own[kind] and isinstance(shared.get(kind), dict):
            filled[kind] = shared[kind] | own[kind]
    return filled


def _with_default_method(tree: dict[str, Any]) -> dict[str, Any]:
    """Fading starts from the teacher's weights, so another network or other weights need another default."""
    if "methods" in tree:
        return tree
    student = tree.get("student")
    other = isinstance(student, dict) and {"net", "options", "edits", "initial_weights"} & student.keys()
    return {**tree, "methods": {"align_kd" if other else "fade_kd": {}}}


def _rates(methods: Any) -> dict[str, str]:
    """`Method.rates` by label; none where a method is not known, which its field says of its own."""
    from unskip.methods import method_class

    fields = methods if isinstance(methods, dict) else {}
    names = {label: given.get("method", label) if isinstance(given, dict) else label for label, given in fields.items()}
    try:
        return {label: method_class(str(name)).rates for label, name in names.items()}
    except UnskipError:
        return {}


def _with_training(fields: Any, training: Any, fill: _Filling, shared: _Filling) -> Any:
    """A method's fields, with its optimiser and schedule where they are not those that all share.

    ``fill`` fills in what the method leaves open in a training section, ``shared`` what the recipe does.
    """
    given = (fields.get("training") or {}) if isinstance(fields, dict) else {}
    if not isinstance(given, dict) or (not given and fill(training) == shared(training)):
        return fields
    try:
        whole, base = (
            TrainingRecipe.model_validate(section or {}).model_dump(mode="json")
            for section in (fill(filled_in({} if training is None else training, given)), shared(training))
        )
    except ValidationError:  # which the section or the method says of its own
        return fields
    own = {kind: whole[kind] for kind in ("optimizer", "schedule") if whole[kind] != base[kind]}
    return {**(fields or {}), "training": {**given, **own}} if given or own else fields
