"""What a network answers: a tensor, or tensors in dicts, lists and tuples; by name, and back. Without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["answer_names", "named_answers", "with_names_filled"]


def answer_names(answers: Any, prefix: str = "") -> Any:
    """The structure with a name in the place of each tensor: keys and places, joined by dots.

    A tensor that is all there is has the name ``logits`` where it is (batch, classes), or else ``output``.
    """
    if isinstance(answers, Mapping):
        return {str(key): answer_names(inner, f"{prefix}{key}.") for key, inner in answers.items()}
    if isinstance(answers, list | tuple):
        return [answer_names(inner, f"{prefix}{place}.") for place, inner in enumerate(answers)]
    return prefix.removesuffix(".") or ("logits" if answers.ndim == 2 else "output")


def named_answers(answers: Any) -> dict[str, Any]:
    """The tensors, or arrays, of a structure by the names of :func:`answer_names`, in order."""
    return dict(zip(_leaves(answer_names(answers)), _leaves(answers), strict=True))


def with_names_filled(names: Any, tensors: Mapping[str, Any]) -> Any:
    """The structure of :func:`answer_names` with the tensors in the places of their names; tuples become lists."""
    if isinstance(names, Mapping):
        return {key: with_names_filled(inner, tensors) for key, inner in names.items()}
    if isinstance(names, list):
        return [with_names_filled(inner, tensors) for inner in names]
    return tensors[names]


def _leaves(structure: Any) -> list[Any]:
    if isinstance(structure, Mapping):
        structure = list(structure.values())
    return (
        [leaf for inner in structure for leaf in _leaves(inner)] if isinstance(structure, list | tuple) else [structure]
    )
