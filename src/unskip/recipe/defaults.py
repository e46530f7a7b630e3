"""What a recipe leaves open and other sections decide: the method, and the rates of trained networks."""

from __future__ import annotations

from typing import Any

from unskip.errors import UnskipError
from unskip.recipe.training import TrainingRecipe, with_max_lr_of_trained, with_optimizer_of_fitted


def with_defaults(tree: dict[str, Any]) -> dict[str, Any]:
    """A recipe's tree with a method, and with the training that suits what teacher and student start from.

    A training that starts from trained weights has a lower default rate, and its section says so. Methods may know
    better: see `Method.rates`.
    """
    tree = _with_default_method(tree)
    teacher, student = (tree.get(key) or {} for key in ("teacher", "student"))
    if not isinstance(teacher, dict) or not isinstance(student, dict):
        return tree
    changed, training = dict(tree), tree.get("training")
    of_teacher = _training_of_teacher(training, teacher.get("training"))
    if teacher.get("training") is not None:
        changed["teacher"] = {**teacher, "training": of_teacher}
    if teacher.get("initial_weights") is not None:
        of_teacher = with_max_lr_of_trained(of_teacher)
    starts_trained = student.get("init") == "teacher" or student.get("initial_weights") is not None
    rates = _rates_of(tree["methods"])
    if rates == "of_fitted":
        changed["training"] = with_optimizer_of_fitted(training)
    elif starts_trained and rates == "of_start":
        changed["training"] = with_max_lr_of_trained(training)
    if of_teacher != changed.get("training") and teacher.get("weights") is None:
        changed["teacher"] = {**teacher, "training": {} if of_teacher is None else of_teacher}
    return changed


def _with_default_method(tree: dict[str, Any]) -> dict[str, Any]:
    """Fading starts from the teacher's weights, so another network or other weights need another default."""
    if "methods" in tree:
        return tree
    student = tree.get("student")
    other = isinstance(student, dict) and {"net", "options", "edits", "initial_weights"} & student.keys()
    return {**tree, "methods": {"align_kd" if other else "fade_kd": {}}}


def _rates_of(methods: Any) -> str:
    """`Method.rates` of all methods of a recipe's section; ``of_start`` where they differ or are not told yet."""
    from unskip.methods import method_class

    fields = methods if isinstance(methods, dict) else {}
    names = {str(given.get("method", label) if isinstance(given, dict) else label) for label, given in fields.items()}
    try:
        rates = {method_class(name).rates for name in names}
    except UnskipError:  # which the field says of its own
        rates = set()
    return rates.pop() if len(rates) == 1 else "of_start"


def _training_of_teacher(shared: Any, own: Any) -> Any:
    """The teacher's training section: what its own leaves out is as in the recipe's; no setting resets others."""
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
