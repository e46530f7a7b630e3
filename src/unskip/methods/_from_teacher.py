"""Students that start from the weights of their teacher: the same network without some of its shortcuts."""

from __future__ import annotations

from collections.abc import Sequence

from unskip.errors import UnskipError
from unskip.nets import StagedNet
from unskip.surgery import residual_blocks, without_shortcuts


def shortcuts_that_go(teacher: StagedNet, requested: StagedNet, method: str) -> dict[str, Sequence[str]]:
    """Which shortcuts a student lacks that its teacher has, as ``keep`` or ``only`` of an edit, the shorter of the two.

    Raises `UnskipError`, in the name of ``method``, where ``requested`` is not the teacher without some of its
    shortcuts.
    """
    left = residual_blocks(requested)
    keep = [place for place in residual_blocks(teacher) if place in left]
    only = [place for place in residual_blocks(teacher) if place not in left]
    if _structure(without_shortcuts(teacher, keep=keep)) != _structure(requested):
        raise UnskipError(
            f"{method} starts from the teacher ({teacher.spec}), so the student must be that network without "
            f"shortcuts, and it is another ({requested.spec}); take align_kd for it, or leave out student.net, "
            "student.options and every edit but without_shortcuts"
        )
    if not only:
        raise UnskipError(
            f"{method} finds no shortcut to remove: the student has all that the teacher has; set student.edits to "
            "[without_shortcuts]"
        )
    return {"keep": keep} if len(keep) <= len(only) else {"only": only}


def _structure(net: StagedNet) -> tuple[set[str], dict[str, tuple[int, ...]], dict[str, str]]:
    """What two networks of one architecture have in common: places of shortcuts, shapes of tensors, layers by name.

    A lean stem has the tensors of the one that it replaces, with another stride.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    layers = {name: repr(module) for name, module in net.named_modules() if next(module.children(), None) is None}
    return set(residual_blocks(net)), shapes, layers
