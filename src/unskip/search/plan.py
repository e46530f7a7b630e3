"""The search: steps to a lower peak, each the smallest edit that lowers it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from unskip.dataflow import count_macs, forecast, num_parameters
from unskip.nets import StagedNet
from unskip.nets.shapes import copied_once, light_copy
from unskip.search.recipes import entries, in_one_line
from unskip.search.steps import Step, StepSearch, fewest
from unskip.search.sub_net_trace import SubNetTrace
from unskip.surgery import Edit, can_be_shortened, edited, removal_of, residual_blocks

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
        return tuple(f"{name}: {in_one_line(dict(given))}" if given else name for name, given in self.edits)

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data for JSON; ``edits`` can stand in a recipe as it is."""
        return {**vars(self), "edits": entries(self.edits)}


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
    search = _Search(light_copy(net, input_shape), input_shape)
    lines = [search.line("as it is", ())]
    for step in search.steps.steps(limit):
        lines.append(search.line("step", search.edits(step.lean, step.removed)))
        # Bypassing is removing; only a block inside of a named one goes without having been bypassed.
        assert lines[-1].peak_bytes <= _BYTES_PER_ELEMENT * search.steps.peak(step)
        shortened = search.shortened(step)
        if shortened is not None:
            lines.append(search.line("shortened", shortened))
    every = search.steps.places
    for lean, removed in ((False, every), (True, ()), (True, every)):
        edits = search.edits(lean, removed)
        if lean in search.steps.traced and all(edits != line.edits for line in lines):
            lines.append(search.line("compared", edits))
    return lines


class _Search:
    def __init__(self, net: nn.Module, input_shape: Shape) -> None:
        assert isinstance(net, StagedNet)
        self._net = net
        self._shape = input_shape
        self.steps = StepSearch(net, input_shape)
        self._places = self.steps.places
        self._own_peak = _BYTES_PER_ELEMENT * self.steps.traced[False].peak()

    def edits(self, lean: bool, removed: Collection[str], shortened: Collection[str] = ()) -> tuple[Edit, ...]:
        """Edits that make the stem lean and remove or shorten the shortcuts at these places."""
        edits: list[Edit] = [("with_lean_stem", {})] if lean else []
        for name, places in (("with_shortened_shortcuts", shortened), ("without_shortcuts", removed)):
            if places:
                only = removal_of(places, self._places)
                edits.append((name, {"only": only} if only else {}))
        return tuple(edits)

    def shortened(self, step: Step) -> tuple[Edit, ...] | None:
        """The edits of a step with as many shortcuts as can be shortened in the place of being removed."""
        blocks = residual_blocks(self._net)
        able = [place for place in self._places if place in step.removed and can_be_shortened(blocks[place])]
        if not able:
            return None
        net = edited(self._net, self.edits(step.lean, (), able), seed=0)
        traced = SubNetTrace(net, self._shape)
        parts = {
            place: [part for part in traced.places if part == place or part.startswith(f"{place}.")]
            for place in step.removed
        }
        gone, peak = step.removed.difference(able), self.steps.peak(step)
        more = fewest(
            lambda places: traced.peak([part for place in (*gone, *places) for part in parts[place]]) <= peak, able
        )
        if more is None or len(more) == len(able):
            return None
        return self.edits(step.lean, gone.union(more), [place for place in able if place not in more])

    def line(self, kind: Kind, edits: tuple[Edit, ...]) -> PlanLine:
        """Make the edits and count what they give."""
        net = edited(self._net, edits, seed=0)
        with copied_once():
            timeline = forecast(net, self._shape, bytes_per_element=_BYTES_PER_ELEMENT)
            macs = count_macs(net, self._shape)
        return PlanLine(
            kind=kind,
            edits=edits,
            peak_bytes=timeline.peak_bytes,
            peak_at=timeline.peak_at,
            ratio=self._own_peak / timeline.peak_bytes,
            macs=macs,
            parameters=num_parameters(net),
            shortcuts=len(residual_blocks(net)),
        )
