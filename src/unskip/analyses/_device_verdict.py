"""Whether removing the shortcuts pays on a device, by what its compiler says of the network with and without them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

from unskip.measures import measures
from unskip.units import writer

if TYPE_CHECKING:
    from unskip.search import CompiledStudent

_JUDGED = ("cycles", "sram", "dram_traffic")
_SAME = 1.05  # as many times a figure must fall or rise to be called better or worse


@dataclass(frozen=True)
class DeviceVerdict:
    """What gets ``better`` and ``worse`` without shortcuts, by measure, by 5 % or more; ``text`` says it with figures.

    SRAM that is a cache in front of a DRAM, which is used in full either way, is not judged.
    """

    better: tuple[str, ...]
    worse: tuple[str, ...]
    text: str

    @classmethod
    def of(cls, device: str, groups: Sequence[CompiledStudent], sram_bytes: int | None) -> Self:
        """Judge by the groups of a network with shortcuts, itself first; ``sram_bytes`` are what the device has."""
        own = groups[0]
        plain = next((each for each in groups if not each.student.lean and not each.student.shortcuts), None)
        if plain is None or plain.estimate is None:
            because = f": {plain.refused}" if plain is not None else ""
            text = f"Whether removal pays on {device} is not known: the network was not compiled without its shortcuts"
            return cls((), (), f"{text}{because}.")
        changes = _changes(own, plain, sram_bytes)
        better, worse = (tuple(each.measure for each in changes if each.way == way) for way in ("better", "worse"))
        if better and worse:
            sentences = [f"Whether removal pays on {device} depends on what you need."]
        else:
            sentences = [f"Removal {'pays' if better else 'does not pay'} on {device}."]
        for way, head in (("better", "Better"), ("worse", "Worse"), ("same", "Within 5 %")):
            if any(each.way == way for each in changes):
                sentences.append(f"{head}: {_listed(changes, way)}.")
        if "cycles" not in own.figures:
            sentences.append("Nobody estimates its cycles.")
        if worse or not better:
            sentences += _other_removals(groups, sram_bytes)
        return cls(better, worse, " ".join(sentences))


@dataclass(frozen=True)
class _Change:
    measure: str
    way: Literal["better", "worse", "same"]
    text: str


def _changes(before: CompiledStudent, after: CompiledStudent, sram_bytes: int | None) -> list[_Change]:
    is_cache = before.estimate is not None and before.estimate.sram_limit_bytes is not None
    changes = []
    for measure in _JUDGED:
        values = [each.figures[measure].value for each in (before, after) if measure in each.figures]
        old, new = [value for value in values if value is not None] if len(values) == 2 else (0, 0)
        if not (old or new) or (measure == "sram" and is_cache):
            continue
        limit = sram_bytes if measure == "sram" else None
        changes.append(_change(measure, old, new, limit))
    return changes


def _change(measure: str, old: float, new: float, limit: float | None) -> _Change:
    from unskip.report.table import in_sentence

    about = measures()[measure].about
    fits = [limit is None or value <= limit for value in (old, new)]
    way: Literal["better", "worse", "same"] = "same"
    if fits[0] != fits[1]:
        way = "better" if fits[1] else "worse"
    elif max(old, new) >= _SAME * min(old, new):
        way = "better" if new < old else "worse"
    unit, write = writer(about.unit, [old, new])
    first, last = write(old), write(new)
    numbers = f"{first} {unit}" if first == last else f"from {first} to {last} {unit}"
    ratio = f"{max(old, new) / min(old, new):.2f}x" if old and new else "much"
    how = "the same" if first == last else f"{ratio} {'less' if new < old else 'more'}"
    fit = "" if fits[0] == fits[1] else ", which fits" if fits[1] else ", which does not fit"
    return _Change(measure, way, f"{in_sentence(about.title)} {how} ({numbers.rstrip()}){fit}")


def _listed(changes: Sequence[_Change], way: str) -> str:
    return "; ".join(each.text for each in changes if each.way == way)


def _other_removals(groups: Sequence[CompiledStudent], sram_bytes: int | None) -> list[str]:
    """Where removal does make something better and nothing worse: in a single stage, and beside a lean stem."""
    own, sentences = groups[0], []
    stages = [each for each in groups[1:] if not each.student.lean and each.student.shortcuts and each.estimate]
    for stage in sorted(stages, key=lambda each: (each.cycles, each.sram_bytes)):
        changes = _changes(own, stage, sram_bytes)
        if _pays(changes):
            where = " and ".join(stage.student.removed or ())
            sentences.append(f"Removal in {where} alone pays: {_listed(changes, 'better')}.")
            break
    lean = [each for each in groups if each.student.lean and each.estimate]
    with_all = next((each for each in lean if each.student.shortcuts == own.student.shortcuts), None)
    with_none = next((each for each in lean if not each.student.shortcuts), None)
    if with_all is not None and with_none is not None:
        changes = _changes(with_all, with_none, sram_bytes)
        if _pays(changes):
            sentences.append(f"In the network with a lean stem it pays: {_listed(changes, 'better')}.")
    return sentences


def _pays(changes: Sequence[_Change]) -> bool:
    ways = {each.way for each in changes}
    return "better" in ways and "worse" not in ways
