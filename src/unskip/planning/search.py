"""The search: steps to a lower peak, each the smallest edit that lowers it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import yaml
from torch import nn

from unskip.errors import UnskipError
from unskip.measure import count_macs, forecast, num_parameters
from unskip.measure.dataflow import trace
from unskip.measure.memory import live_elements
from unskip.measure.shortcuts import bypass_of
from unskip.nets import StagedNet
from unskip.nets.shapes import meta_copy
from unskip.surgery import Edit, can_be_shortened, edited, residual_blocks, with_lean_stem

__all__ = ["PlanLine", "plan"]

Shape = tuple[int, int, int]
Kind = Literal["as it is", "step", "shortened", "compared"]
_BYTES_PER_ELEMENT = 4


@dataclass(frozen=True)
class PlanLine:
    """What a network costs after some edits, for one image.

    ``kind``: ``as it is`` for the network itself, ``step`` for edits that lower the peak further than those of the step
    before, ``shortened`` for a step with shortcuts shortened that it removes, ``compared`` for edits to compare with.
    ``edits`` are names with arguments, in order, as recipes and `unskip.surgery.edited` take them.

    ``peak_bytes`` are the most live feature maps, as `unskip.forecast` counts them, ``peak_at`` is the first operation
    with so many, ``ratio`` the network's own peak divided by this one. ``shortcuts`` is how many there are then.
    """

    kind: Kind
    edits: tuple[Edit, ...]
    peak_bytes: int
    peak_at: str
    ratio: float
    macs: int
    parameters: int
    shortcuts: int

    @property
    def recipe_edits(self) -> tuple[str, ...]:
        """The edits as YAML, one an entry: what stands under ``student.edits`` or behind ``--edit``."""
        return tuple(_yaml(name, arguments) for name, arguments in self.edits)

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data for JSON; ``edits`` can stand in a recipe as it is."""
        return {**vars(self), "edits": [{name: dict(arguments)} for name, arguments in self.edits]}


def _yaml(name: str, arguments: Mapping[str, Any]) -> str:
    if not arguments:
        return name
    return f"{name}: {yaml.safe_dump(dict(arguments), default_flow_style=True, width=float('inf')).strip()}"


def plan(net: StagedNet, input_shape: Shape, *, limit: int = 10) -> list[PlanLine]:
    """The edits that lower a network's peak, step by step, for one image of ``(channels, height, width)``.

    The first line is the network as it is. Each step either removes more shortcuts, none of which could stay without
    the peak staying too, or makes the stem lean, or both where neither alone lowers the peak. The steps end where
    nothing of this lowers it any further, or after ``limit`` of them. Where shortcuts of a step can be shortened in the
    place of being removed, at no higher peak, a line says so. The last lines, to compare with, are all shortcuts
    removed, the lean stem, and both.

    Steps are searched on traces of the network, but every figure is that of the edited network itself. Raises
    `UnskipError` when torch.fx cannot trace the network or an image of that size does not fit it.
    """
    search = _Search(meta_copy(net), input_shape)
    lines = [search.line("as it is", ())]
    at = _Step(lean=False, removed=frozenset())
    for _ in range(limit):
        following = search.after(at)
        if following is None:
            break
        at = following
        lines.append(search.line("step", search.edits(at.lean, at.removed)))
        # Bypassing is removing; only a block inside of a named one goes without having been bypassed.
        assert lines[-1].peak_bytes <= _BYTES_PER_ELEMENT * search.peak(at)
        shortened = search.shortened(at)
        if shortened is not None:
            lines.append(search.line("shortened", shortened))
    for edits in search.extremes():
        if all(edits != line.edits for line in lines):
            lines.append(search.line("compared", edits))
    return lines


@dataclass(frozen=True)
class _Step:
    """Whether the stem is lean, and the places of the shortcuts that are gone."""

    lean: bool
    removed: frozenset[str]


class _Traced:
    """The peak of a network without any of its shortcuts, from one trace."""

    def __init__(self, net: nn.Module, input_shape: Shape) -> None:
        self.places = tuple(residual_blocks(net))
        self._dataflow = trace(net, input_shape)
        self._bypass = dict(zip(self.places, bypass_of(self._dataflow, self.places).items(), strict=True))

    def peak(self, removed: Collection[str]) -> int:
        """The most live elements without the shortcuts at these places."""
        return max(live_elements(self._dataflow, bypass=dict(self._bypass[place] for place in removed)))


class _Search:
    def __init__(self, net: nn.Module, input_shape: Shape) -> None:
        assert isinstance(net, StagedNet)
        self._net = net
        self._shape = input_shape
        self._traced = {False: _Traced(net, input_shape)}
        self._places = self._traced[False].places
        self._own_peak = _BYTES_PER_ELEMENT * self._traced[False].peak(())
        with suppress(UnskipError):  # another stem
            self._traced[True] = _Traced(with_lean_stem(net), input_shape)

    def peak(self, step: _Step) -> int:
        """The most live elements after a step."""
        return self._traced[step.lean].peak(step.removed)

    def after(self, step: _Step) -> _Step | None:
        """The next step, the smallest that lowers the peak; None where none does."""
        before = self.peak(step)
        more = [place for place in self._places if place not in step.removed]
        for lean in sorted(self._traced):
            if lean >= step.lean:
                following = _Step(lean, step.removed)
                found = _fewest(partial(self._gets_below, before, following), more)
                if found is not None:
                    return _Step(lean, step.removed.union(found))
        return None

    def _gets_below(self, peak: int, step: _Step, more: Sequence[str]) -> bool:
        return self.peak(_Step(step.lean, step.removed.union(more))) < peak

    def edits(self, lean: bool, removed: Collection[str], shortened: Collection[str] = ()) -> tuple[Edit, ...]:
        """Edits that make the stem lean and remove or shorten the shortcuts at these places."""
        edits: list[Edit] = [("with_lean_stem", {})] if lean else []
        for name, places in (("with_shortened_shortcuts", shortened), ("without_shortcuts", removed)):
            if places:
                edits.append((name, self._only(places)))
        return tuple(edits)

    def shortened(self, step: _Step) -> tuple[Edit, ...] | None:
        """The edits of a step with as many shortcuts as can be shortened in the place of being removed."""
        blocks = residual_blocks(self._net)
        able = [place for place in self._places if place in step.removed and can_be_shortened(blocks[place])]
        if not able:
            return None
        net = edited(self._net, self.edits(step.lean, (), able), seed=0)
        traced = _Traced(net, self._shape)
        parts = {
            place: [part for part in traced.places if part == place or part.startswith(f"{place}.")]
            for place in step.removed
        }
        gone, peak = step.removed.difference(able), self.peak(step)
        more = _fewest(
            lambda places: traced.peak([part for place in (*gone, *places) for part in parts[place]]) <= peak, able
        )
        if more is None or len(more) == len(able):
            return None
        return self.edits(step.lean, gone.union(more), [place for place in able if place not in more])

    def extremes(self) -> list[tuple[Edit, ...]]:
        """What is there to compare with: all shortcuts removed, the lean stem, both."""
        choices = ((False, self._places), (True, ()), (True, self._places))
        return [self.edits(lean, removed) for lean, removed in choices if lean in self._traced]

    def line(self, kind: Kind, edits: tuple[Edit, ...]) -> PlanLine:
        """Make the edits and count what they give."""
        net = edited(self._net, edits, seed=0)
        timeline = forecast(net, self._shape, bytes_per_element=_BYTES_PER_ELEMENT)
        return PlanLine(
            kind=kind,
            edits=edits,
            peak_bytes=timeline.peak_bytes,
            peak_at=timeline.peak_at,
            ratio=self._own_peak / timeline.peak_bytes,
            macs=count_macs(net, self._shape),
            parameters=num_parameters(net),
            shortcuts=len(residual_blocks(net)),
        )

    def _only(self, places: Collection[str]) -> dict[str, list[str]]:
        """The argument that names these shortcuts, whole stages by name; nothing where it is all of them."""
        if len(places) == len(self._places):
            return {}
        names: dict[str, None] = {}
        for place in self._places:
            stage = place.partition(".")[0]
            whole = all(other in places for other in self._places if other.partition(".")[0] == stage)
            if place in places:
                names[stage if whole else place] = None
        return {"only": list(names)}


def _fewest(enough: Callable[[Sequence[str]], bool], places: Sequence[str]) -> list[str] | None:
    """Places that are enough and of which none can be left out; None where all of them are not enough."""
    if not enough(places):
        return None
    left = list(places)
    for place in places:
        without = [other for other in left if other != place]
        if enough(without):
            left = without
    return left
