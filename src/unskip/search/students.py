"""The students that edits make of a network, and what each costs, counted without building them one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import combinations
from typing import Any

from unskip.errors import UnskipError
from unskip.nets import StagedNet
from unskip.nets.depth import block_names, first_blocks
from unskip.nets.shapes import light_copy
from unskip.search.counted import CountedNet, left_out, within
from unskip.search.steps import StepSearch
from unskip.search.student import Student
from unskip.surgery import (
    can_be_shortened,
    can_prune,
    removal_of,
    residual_blocks,
    with_grouped_convs,
    with_lean_stem,
    with_pruned_channels,
    with_shortened_shortcuts,
    without_shortcuts,
)

GROUPS = (2, 4, 8)
RATIOS = (0.25, 0.375, 0.5)
MAX_DEPTHS = 12
MAX_STEPS = 6
MAX_STAGES = 5


class StudentSearch:
    """All students of a network that come into question, the network itself first, none of them twice.

    ``students`` have every combination of: the stem as it is or lean; spatial convolutions as they are or in 2, 4 or 8
    groups; all shortcuts, none, those that the steps of a plan leave, or those behind a stage; all blocks, or fewer on
    a way on which the stage that has kept the largest share of its blocks loses the next one. Those with fewer blocks
    and dense convolutions, plain or with all shortcuts, stand there as sub-nets too. Where Torch-Pruning is installed,
    there are those of fewer channels, with fewer blocks too if plain or with all shortcuts; and where that lowers the
    peak, those with as many shortcuts shortened as can be, the others as they are or removed. With ``any_stages``,
    those with all blocks and dense convolutions are plain in any stages; with ``all_blocks`` there are no others.

    ``net`` is a copy of the network, light where it runs without values.

    ``like`` is a search in the same network for images of another size: which channels go is no matter of these.

    ``skipped`` counts combinations that do not fit this network, by the reason. ``progress`` is called with words.
    Raises `UnskipError` when torch.fx cannot trace the network or the image does not fit it.
    """

    def __init__(
        self,
        net: StagedNet,
        input_shape: tuple[int, int, int],
        progress: Callable[[str], None] = lambda words: None,
        *,
        any_stages: bool = False,
        all_blocks: bool = False,
        like: StudentSearch | None = None,
    ) -> None:
        self.skipped: Counter[str] = Counter()
        if like is not None:
            self._pruned, self._plain_pruned = like._pruned, like._plain_pruned
        self._any_stages = any_stages
        self._all_blocks = all_blocks
        self._progress = progress
        self._shape = input_shape
        copied = light_copy(net, input_shape)
        assert isinstance(copied, StagedNet)
        self.net = copied
        self._blocks = {
            stage: [f"{stage}.{block}" for block in block_names(copied.get_submodule(stage))]
            for stage in copied.stage_names
        }
        progress("searching what holds the peak")
        self._steps = StepSearch(copied, input_shape)
        if self._steps.no_lean_stem:
            self.skipped[self._steps.no_lean_stem] += 1
        self._places = self._steps.places
        self.students = list(self._distinct())

    def _distinct(self) -> Iterator[Student]:
        """The students, of those with the same figures and structure the one with the fewest edits."""
        seen = set()
        for student in self._all():
            if student.structure not in seen:
                seen.add(student.structure)
                yield student
                dense = student.groups == 1 and not student.pruned
                if student.depth is not None and dense and student.removed in ((), None):
                    yield replace(student, sub_net=True)

    def _all(self) -> Iterator[Student]:
        removals, depths = self._removals(), [None, *([] if self._all_blocks else self._depths())]
        more = self._stages() if self._any_stages else []
        ends = [each for each in removals if len(each) in (0, len(self._places))]
        for options, counted in self._variants():
            for depth in depths:
                sets = [*removals, *more] if depth is None and "groups" not in options else removals
                for removed in ends if depth and "pruned" in options else sets:
                    yield self._student(counted, depth, removed, **options)
            if "pruned" in options and (plain := self._plain_first(**options)):
                for depth in depths:
                    student = self._student(counted, depth, frozenset(self._places), **options, pruned_last=True)
                    yield replace(student, **plain.figures((), left_out(self.net, depth)))
        if not self._all_blocks:
            yield from self._shortened()

    def _student(
        self, counted: CountedNet, depth: tuple[int, ...] | None, removed: Collection[str], **options: Any
    ) -> Student:
        """The student without the shortcuts at some places and without some blocks; ``options``: its other fields."""
        missing = left_out(self.net, depth)
        places = [place for place in self._places if not within(place, missing)]
        plain = [place for place in places if place in removed]
        lost = (f"{place} shortcut" for place in self._places if place not in places or place in plain)
        fields = {"lean": False, "groups": 1} | options
        return Student(
            depth=depth,
            removed=_names(plain, places),
            sub_net=False,
            gone=frozenset((*missing, *lost)),
            shortcuts=len(places) - len(plain),
            **counted.figures(plain, missing),
            **fields,
        )

    def _variants(self) -> Iterator[tuple[dict[str, Any], CountedNet]]:
        """The network by stem, groups and width, where they can be changed: what is changed, and what it costs then."""
        for lean, net in self._steps.nets.items():
            counting = f"counting what students{' with a lean stem' if lean else ''} cost"
            self._progress(counting)
            dense = CountedNet(net, self._shape, self._steps.traced[lean])
            yield {"lean": lean}, dense
            for groups in () if self._all_blocks else GROUPS:
                self._progress(f"{counting}, convolutions in {groups} groups")
                try:
                    counted = CountedNet(with_grouped_convs(net, groups=groups), self._shape)
                except UnskipError as error:
                    self.skipped[str(error)] += 1
                    continue
                if counted.macs < dense.macs:
                    yield {"lean": lean, "groups": groups}, counted
                else:
                    self.skipped[f"with_grouped_convs: {groups} groups need no fewer MACs"] += 1
            for ratio, pruned in {} if self._all_blocks else self._pruned.items():
                self._progress(f"{counting}, {ratio:.0%} of the channels pruned")
                narrow = with_lean_stem(pruned) if lean else pruned  # neither edit sees what the other changes
                yield {"lean": lean, "pruned": ratio}, CountedNet(narrow, self._shape)

    @cached_property
    def _pruned(self) -> dict[float, StagedNet]:
        """The network with fewer channels, by the share that goes."""
        try:
            return {ratio: with_pruned_channels(self.net, ratio=ratio) for ratio in RATIOS} if can_prune() else {}
        except UnskipError as error:
            self.skipped[str(error)] += 1
            return {}

    @cached_property
    def _plain_pruned(self) -> dict[float, StagedNet]:
        """The network whose shortcuts go before its channels do, where that lets more channels go."""
        if not self._places or not self._pruned:
            return {}
        plain = without_shortcuts(self.net)
        try:
            first = with_pruned_channels(plain, ratio=RATIOS[0]).state_dict()
            shapes = {name: tensor.shape for name, tensor in self._pruned[RATIOS[0]].state_dict().items()}
            if all(shapes[name] == tensor.shape for name, tensor in first.items()):
                return {}
            return {ratio: with_pruned_channels(plain, ratio=ratio) for ratio in RATIOS}
        except UnskipError as error:
            self.skipped[str(error)] += 1
            return {}

    def _plain_first(self, *, lean: bool, pruned: float) -> CountedNet | None:
        net = self._plain_pruned.get(pruned)
        return None if net is None else CountedNet(with_lean_stem(net) if lean else net, self._shape)

    def _shortened(self) -> Iterator[Student]:
        """Those with shortened shortcuts that hold less than with the same ones as they were."""
        blocks = residual_blocks(self.net)
        able = [place for place in self._places if can_be_shortened(blocks[place])]
        for lean, net in self._steps.nets.items() if able else ():
            others = frozenset(self._places).difference(able)
            whole = CountedNet(net, self._shape, self._steps.traced[lean])
            short = CountedNet(with_shortened_shortcuts(net, only=able), self._shape)
            names = _names(able, self._places)
            for removed in dict.fromkeys((frozenset(), others)):
                student = self._student(whole, None, removed, lean=lean, shortened=names)
                made = replace(student, **short.figures(sorted(removed), ()))
                if made.peak_elements < student.peak_elements:
                    yield made

    def _removals(self) -> list[frozenset[str]]:
        """Sets of places whose shortcuts may go, the small ones first."""
        stages = [[p for p in self._places if p.partition(".")[0] == stage] for stage in self.net.stage_names]
        behind = [[place for stage in stages[:count] for place in stage] for count in range(len(stages) + 1)]
        steps = [step.removed for step in self._steps.steps(MAX_STEPS)]
        if not self._places:
            self.skipped["without_shortcuts: this network has no shortcuts"] += 1
        # Naming a block names the blocks in it.
        sets = {frozenset(each for each in self._places if within(each, places)) for places in (*behind, *steps)}
        return sorted(sets, key=lambda places: (len(places), sorted(places)))

    def _stages(self) -> list[frozenset[str]]:
        """The places in any stages, at most `MAX_STAGES` of which are told apart."""
        places = [[p for p in self._places if p.partition(".")[0] == stage] for stage in self.net.stage_names]
        stages = [stage for stage in places if stage][:MAX_STAGES]
        chosen = (each for count in range(1, len(stages)) for each in combinations(stages, count))
        return [frozenset(place for stage in each for place in stage) for each in chosen]

    def _depths(self) -> list[tuple[int, ...]]:
        """Numbers of blocks for the stages, from the most to the fewest; evenly chosen where there are many."""
        full = tuple(len(blocks) for blocks in self._blocks.values())
        least = [self._fewest_blocks(stage) for stage in self._blocks]
        now, way = list(full), []
        while True:
            able = [place for place, count in enumerate(now) if count > least[place]]
            if not able:
                break
            most = max(able, key=lambda place: (now[place] / full[place], now[place], place))
            now[most] -= 1
            try:
                self.net.at_depth(*now)
            except UnskipError as error:  # a network with statistics for other depths
                self.skipped[str(error)] += 1
            else:
                way.append(tuple(now))
        if not way:
            self.skipped["at_depth: no stage has a block that can be left out"] += 1
        if len(way) <= MAX_DEPTHS:
            return way
        return [way[round(index * (len(way) - 1) / (MAX_DEPTHS - 1))] for index in range(MAX_DEPTHS)]

    def _fewest_blocks(self, stage: str) -> int:
        """How many blocks a stage must keep: one, or all up to the last that changes its input's shape."""
        count = len(self._blocks[stage])
        while count > 1:
            try:
                first_blocks(stage, self.net.get_submodule(stage), count - 1)
            except UnskipError:
                break
            count -= 1
        return count


def _names(chosen: Sequence[str], places: Sequence[str]) -> tuple[str, ...] | None:
    """What names some of the shortcuts: stages and blocks; None for all that are there, where there are any."""
    return tuple(removal_of(chosen, places)) or None if chosen else ()
