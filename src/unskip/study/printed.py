"""The figures that the papers print, found by what tells them apart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from unskip.errors import UnskipError, nearest, shortened
from unskip.listing import studies_folder

METRICS = {"top1": "top1_accuracy", "error": "top1_error", "minutes": "minutes"}  # of rows that are read
_KEYS = ("paper", "table", "dataset", "network", "method", "teacher", "group", "metric")


@cache
def printed_facts() -> tuple[Mapping[str, Any], ...]:
    """All printed figures: each a mapping of its keys and its ``value``, in per cent, points or minutes."""
    return tuple(json.loads((studies_folder() / "printed.json").read_text(encoding="utf-8")))


def printed_value(keys: Mapping[str, str | None], origin: str) -> float:
    """The printed figure that has these keys; `UnskipError` where none has, or more than one."""
    for key in keys:
        if key not in _KEYS:
            raise UnskipError(f"{origin}: printed.{shortened(key)} is no key of printed figures{nearest(key, _KEYS)}")
    facts = printed_facts()
    matching = [fact for fact in facts if all(fact[key] == value for key, value in keys.items())]
    if len(matching) == 1:
        return float(matching[0]["value"])
    named = ", ".join(f"{key} {value}" for key, value in keys.items())
    if matching:
        apart = [key for key in _KEYS if key not in keys and len({fact[key] for fact in matching}) > 1]
        values = {key: sorted({str(fact[key]) for fact in matching})[:4] for key in apart}
        told = "; ".join(f"{key}: {', '.join(of)}" for key, of in values.items()) or "none of their keys"
        raise UnskipError(f"{origin}: {len(matching)} printed figures have {named}; tell them apart by {told}")
    raise UnskipError(f"{origin}: no printed figure has {named}{_misfit(facts, keys)}")


def _misfit(facts: tuple[Mapping[str, Any], ...], keys: Mapping[str, str | None]) -> str:
    """The first key, in the order given, that no figure has beside those before it."""
    for key, value in keys.items():
        left = [fact for fact in facts if fact[key] == value]
        if not left:
            known = sorted({str(fact[key]) for fact in facts})
            return f"; of {key}, there are {', '.join(known[:8])}{' ..' * (len(known) > 8)}{nearest(str(value), known)}"
        facts = tuple(left)
    return ""
