"""Steps to a lower peak of live feature maps, each the smallest edit that lowers it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from unskip.errors import UnskipError
from unskip.nets import StagedNet
from unskip.search.traced import Traced
from unskip.surgery import with_lean_stem

__all__ = ["Step", "StepSearch", "fewest", "removal_of"]


@dataclass(frozen=True)
class Step:
    """Whether the stem is lean, and the places of the shortcuts that are gone."""

    lean: bool
    removed: frozenset[str]


class StepSearch:
    """The search on traces of a network: of itself (False) and, where it can have a lean stem, with one (True).

    ``no_lean_stem`` says why it cannot have one.
    """

    def __init__(self, nets: Mapping[bool, StagedNet], traced: Mapping[bool, Traced], no_lean_stem: str = "") -> None:
        self.nets = nets
        self.traced = traced
        self.no_lean_stem = no_lean_stem
        self.places = traced[False].places

    @classmethod
    def of(cls, net: StagedNet, input_shape: tuple[int, int, int]) -> Self:
        """Trace a network, for one image of (channels, height, width); `UnskipError` where that cannot be done."""
        nets, reason = {False: net}, ""
        traced = {False: Traced(net, input_shape)}
        try:
            lean = with_lean_stem(net)
            traced[True], nets[True] = Traced(lean, input_shape), lean
        except UnskipError as error:
            reason = str(error)
        return cls(nets, traced, reason)

    def peak(self, step: Step) -> int:
        """The most live elements after a step."""
        return self.traced[step.lean].peak(step.removed)

    def steps(self, limit: int) -> Iterator[Step]:
        """The steps, ``limit`` of them at most, until nothing lowers the peak any further."""
        at = Step(lean=False, removed=frozenset())
        for _ in range(limit):
            following = self._after(at)
            if following is None:
                return
            yield following
            at = following

    def _after(self, step: Step) -> Step | None:
        """The next step, the smallest that lowers the peak; None where none does."""
        before = self.peak(step)
        more = [place for place in self.places if place not in step.removed]
        for lean in sorted(self.traced):
            if lean >= step.lean:
                following = Step(lean, step.removed)
                found = fewest(partial(self._gets_below, before, following), more)
                if found is not None:
                    return Step(lean, step.removed.union(found))
        return None

    def _gets_below(self, peak: int, step: Step, more: Sequence[str]) -> bool:
        return self.peak(Step(step.lean, step.removed.union(more))) < peak


def fewest(enough: Callable[[Sequence[str]], bool], places: Sequence[str]) -> list[str] | None:
    """Places that are enough and of which none can be left out; None where all of them are not enough."""
    if not enough(places):
        return None
    left = list(places)
    for place in places:
        without = [other for other in left if other != place]
        if enough(without):
            left = without
    return left


def removal_of(removed: Collection[str], places: Sequence[str]) -> Mapping[str, Any]:
    """The argument of an edit that names some of the shortcuts, whole stages by name; nothing where it is all."""
    if len(removed) == len(places):
        return {}
    names: dict[str, None] = {}
    for place in places:
        stage = place.partition(".")[0]
        whole = all(other in removed for other in places if other.partition(".")[0] == stage)
        if place in removed:
            names[stage if whole else place] = None
    return {"only": list(names)}
