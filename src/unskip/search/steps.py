"""Steps to a lower peak of live feature maps, each the smallest edit that lowers it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from unskip.errors import UnskipError
from unskip.nets import StagedNet
from unskip.search.sub_net_trace import SubNetTrace
from unskip.surgery import with_lean_stem


@dataclass(frozen=True)
class Step:
    """Whether the stem is lean, and the places of the shortcuts that are gone."""

    lean: bool
    removed: frozenset[str]


class StepSearch:
    """The search on traces of a network: of itself (False) and, where it can have a lean stem, with one (True).

    ``no_lean_stem`` says why it cannot have one. Raises `UnskipError` where the network, for one image of
    (channels, height, width), cannot be traced.
    """

    def __init__(self, net: StagedNet, input_shape: tuple[int, int, int]) -> None:
        self.nets = {False: net}
        self.traced = {False: SubNetTrace(net, input_shape)}
        self.places = self.traced[False].places
        self.no_lean_stem = ""
        try:
            lean = with_lean_stem(net)
            self.traced[True], self.nets[True] = SubNetTrace(lean, input_shape), lean
        except UnskipError as error:
            self.no_lean_stem = str(error)

    def peak(self, step: Step) -> int:
        """The most live elements after a step."""
        return self.traced[step.lean].peak(step.removed)

    def steps(self, limit: int) -> Iterator[Step]:
        """The steps, ``limit`` of them at most, until nothing lowers the peak any further."""
        at = Step(lean=False, removed=frozenset())
        for _ in range(limit):
            choices = (self._lower(at, lean) for lean in self.traced if lean >= at.lean)
            following = next((step for step in choices if step is not None), None)
            if following is None:
                return
            yield following
            at = following

    def _lower(self, step: Step, lean: bool) -> Step | None:
        """The smallest step to a lower peak with or without a lean stem; None where there is none."""
        peak, traced = self.peak(step), self.traced[lean]
        more = [place for place in self.places if place not in step.removed]
        found = fewest(lambda places: traced.peak([*step.removed, *places]) < peak, more)
        return None if found is None else Step(lean, step.removed.union(found))


def fewest(enough: Callable[[Sequence[str]], bool], places: Sequence[str]) -> list[str] | None:
    """Places that are enough and of which none can be left out; None where all of them are not enough."""
    if not enough(places):
        return None
    places_left = list(places)
    for place in places:
        without = [other for other in places_left if other != place]
        if enough(without):
            places_left = without
    return places_left
