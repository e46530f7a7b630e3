"""What a network answers: a tensor, or tensors in dicts, lists and tuples; by name, and back. Without torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

LOGITS = "logits"


def answer_names(answers: Any, prefix: str = "") -> Any:
    """The structure with a name in the place of each tensor: keys and places, joined by dots; tuples become lists.

    A tensor that is all there is has the name ``logits`` where it is (batch, classes), or else ``output``.
    """
    if isinstance(answers, Mapping):
        return {str(key): answer_names(inner, f"{prefix}{key}.") for key, inner in answers.items()}
    if isinstance(answers, list | tuple):
        return [answer_names(inner, f"{prefix}{place}.") for place, inner in enumerate(answers)]
    return prefix.removesuffix(".") or (LOGITS if getattr(answers, "ndim", 0) == 2 else "output")


def named_answers(answers: Any) -> dict[str, Any]:
    """The tensors, or arrays, of a structure by the names of :func:`answer_names`, in order."""
    return dict(zip(tensors_in(answer_names(answers)), tensors_in(answers), strict=True))


def tensors_in(answers: Any) -> list[Any]:
    """The tensors of a structure, or the names of one of names, in order."""
    if isinstance(answers, Mapping):
        answers = list(answers.values())
    return [each for inner in answers for each in tensors_in(inner)] if isinstance(answers, list | tuple) else [answers]


def with_tensors(names: Any, tensors: Iterable[Any]) -> Any:
    """A structure of names with tensors in their places, in order."""
    rest = iter(tensors)
    return with_each(lambda _: next(rest), names)


def with_each(change: Callable[[Any], Any], answers: Any) -> Any:
    """The structure with each tensor changed; tuples become lists."""
    if isinstance(answers, Mapping):
        return {key: with_each(change, inner) for key, inner in answers.items()}
    if isinstance(answers, list | tuple):
        return [with_each(change, inner) for inner in answers]
    return change(answers)
