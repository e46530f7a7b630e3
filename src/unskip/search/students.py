"""The students that edits make of a network, and what each costs, counted without building them one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

from unskip.dataflow.counts import macs_by_module
from unskip.errors import UnskipError
from unskip.nets import StagedNet
from unskip.nets.depth import block_names, first_blocks
from unskip.nets.shapes import light_copy
from unskip.search.steps import StepSearch, removal_of
from unskip.search.traced import Traced
from unskip.surgery import Edit, with_grouped_convs

GROUPS = (2, 4, 8)
MAX_DEPTHS = 12
MAX_STEPS = 6
MAX_STAGES = 5


@dataclass(frozen=True)
class Student:
    """A network that edits make of another, and what it costs for one image.

    ``lean``: with a lean stem; ``groups``: with so many in each spatial convolution, 1 for as they are; ``depth``: the
    first so many blocks of each stage, None for all; ``removed``: the places of shortcuts that an edit names, None for
    all. ``sub_net``: trained as a sub-net of a network of all blocks. ``gone`` are all blocks and shortcuts that the
    network has and the student has not.

    ``peak_elements`` are the most live elements of feature maps, as `unskip.forecast` counts them.
    """

    lean: bool
    groups: int
    depth: tuple[int, ...] | None
    removed: tuple[str, ...] | None
    sub_net: bool
    gone: frozenset[str]
    shortcuts: int
    peak_elements: int
    macs: int
    parameters: int

    def figures(self, bytes_per_element: int) -> dict[str, int]:
        """What is counted of it, by measure; the file's size is that of its weights."""
        return {
            "peak": bytes_per_element * self.peak_elements,
            "parameters": self.parameters,
            "macs": self.macs,
            "file_bytes": bytes_per_element * self.parameters,
        }

    @property
    def structure(self) -> Hashable:
        """What makes it another network; a sub-net has that of the student with the same blocks."""
        return self.lean, self.groups, self.gone

    @property
    def kinds(self) -> frozenset[str]:
        """The edits by name, whatever their arguments."""
        return frozenset(name for name, _ in self.edits)

    @cached_property
    def whole_edits(self) -> tuple[Edit, ...]:
        """The edits but for the one that leaves blocks out: those of the network that holds a sub-net."""
        edits: list[Edit] = [("with_lean_stem", {})] if self.lean else []
        if self.groups > 1:
            edits.append(("with_grouped_convs", {"groups": self.groups}))
        if self.removed != ():
            edits.append(("without_shortcuts", {} if self.removed is None else {"only": list(self.removed)}))
        return tuple(edits)

    @cached_property
    def edits(self) -> tuple[Edit, ...]:
        """The edits in order, as recipes and `unskip.surgery.edited` take them."""
        depth: tuple[Edit, ...] = () if self.depth is None else (("at_depth", {"blocks": list(self.depth)}),)
        return (*self.whole_edits, *depth)

    def __str__(self) -> str:
        """``lean stem, plain in stage1, blocks 2-2-3-2``."""
        words = ["lean stem"] if self.lean else []
        words += [f"{self.groups} groups"] if self.groups > 1 else []
        if self.removed is None:
            words.append("plain")
        elif self.removed:
            named = ", ".join(self.removed) if len(self.removed) <= 3 else f"{len(self.removed)} places"
            words.append(f"plain in {named}")
        if self.depth is not None:
            words.append(f"{'sub-net' if self.sub_net else 'blocks'} {'-'.join(map(str, self.depth))}")
        return ", ".join(words) or "as it is"


class StudentSearch:
    """All students of a network that come into question, the network itself first, none of them twice.

    ``students`` have every combination of: the stem as it is or lean; spatial convolutions as they are or in 2, 4 or 8
    groups; all shortcuts, none, those that the steps of a plan leave, or those behind a stage; all blocks, or fewer on
    a way on which the stage that has kept the largest share of its blocks loses the next one. Those with fewer blocks
    and dense convolutions, plain or with all shortcuts, stand there as sub-nets too. With ``any_stages``, those with
    all blocks and dense convolutions are plain in any stages; with ``all_blocks`` there are no others.

    ``net`` is a copy of the network, light where it runs without values.

    ``skipped`` counts combinations that do not fit this network, by the reason. ``progress`` is called with words.
    Raises `UnskipError` when torch.fx cannot trace the network or the image does not fit it.
    """

    def __init__(
        self,
        net: StagedNet,
        input_shape: tuple[int, int, int],
        progress: Callable[[str], None] = lambda said: None,
        *,
        any_stages: bool = False,
        all_blocks: bool = False,
    ) -> None:
        self.skipped: Counter[str] = Counter()
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
                if student.depth is not None and student.groups == 1 and student.removed in ((), None):
                    yield replace(student, sub_net=True)

    def _all(self) -> Iterator[Student]:
        removals, depths = self._removals(), [None, *([] if self._all_blocks else self._depths())]
        more = self._stages() if self._any_stages else []
        for counted in self._variants():
            for depth in depths:
                whole = depth is None and counted.groups == 1
                for removed in [*removals, *more] if whole else removals:
                    yield counted.student(depth, removed, self._left_out(depth))

    def _variants(self) -> Iterator[_Counted]:
        """The network by stem and groups, where they can be changed."""
        for lean, net in self._steps.nets.items():
            stem = " with a lean stem" if lean else ""
            self._progress(f"counting{stem}")
            dense = _Counted(lean, 1, net, self._shape, self._steps.traced[lean])
            yield dense
            for groups in () if self._all_blocks else GROUPS:
                self._progress(f"counting{stem}, {groups} groups")
                try:
                    grouped = with_grouped_convs(net, groups=groups)
                    counted = _Counted(lean, groups, grouped, self._shape, Traced(grouped, self._shape))
                except UnskipError as error:
                    self.skipped[str(error)] += 1
                    continue
                if counted.macs < dense.macs:
                    yield counted
                else:
                    self.skipped[f"with_grouped_convs: {groups} groups need no fewer MACs"] += 1

    def _removals(self) -> list[frozenset[str]]:
        """Sets of places whose shortcuts may go, the small ones first."""
        stages = [[p for p in self._places if p.partition(".")[0] == stage] for stage in self.net.stage_names]
        behind = [[place for stage in stages[:count] for place in stage] for count in range(len(stages) + 1)]
        steps = [step.removed for step in self._steps.steps(MAX_STEPS)]
        if not self._places:
            self.skipped["without_shortcuts: this network has no shortcuts"] += 1
        # Naming a block names the blocks in it.
        sets = {frozenset(each for each in self._places if _within(each, places)) for places in (*behind, *steps)}
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

    def _left_out(self, depth: Sequence[int] | None) -> list[str]:
        if depth is None:
            return []
        return [block for count, blocks in zip(depth, self._blocks.values(), strict=True) for block in blocks[count:]]


class _Counted:
    """A network with all its blocks and shortcuts, from which those of its sub-nets and plain forms are counted."""

    def __init__(
        self, lean: bool, groups: int, net: StagedNet, input_shape: tuple[int, int, int], traced: Traced
    ) -> None:
        self._lean, self.groups, self._traced = lean, groups, traced
        self._macs = macs_by_module(net, input_shape)
        self.macs = self._macs[""]
        self._parameters = {
            name: (id(parameter), parameter.numel()) for name, parameter in net.named_parameters(remove_duplicate=False)
        }

    def student(self, depth: tuple[int, ...] | None, removed: Collection[str], left_out: Sequence[str]) -> Student:
        """What it costs without the shortcuts at some places and without some blocks."""
        places = self._traced.places
        kept = [place for place in places if not _within(place, left_out)]
        plain = [place for place in kept if place in removed]
        gone = {*left_out, *(f"{place} shortcut" for place in places if place not in kept or place in plain)}
        projections = [f"{place}.shortcut" for place in plain]
        outer = [name for name in projections if not _within(name, [other for other in projections if other != name])]
        dropped = (*left_out, *outer)
        return Student(
            lean=self._lean,
            groups=self.groups,
            depth=depth,
            removed=_names(plain, kept),
            sub_net=False,
            gone=frozenset(gone),
            shortcuts=len(kept) - len(plain),
            peak_elements=self._traced.peak(plain, left_out),
            macs=self.macs - sum(self._macs.get(name, 0) for name in dropped),
            parameters=self._without(dropped),
        )

    def _without(self, dropped: Sequence[str]) -> int:
        """The parameters outside of some modules, shared ones once."""
        inside = tuple(f"{name}." for name in dropped)
        left = {key: count for name, (key, count) in self._parameters.items() if not name.startswith(inside)}
        return sum(left.values())


def _names(plain: Sequence[str], kept: Sequence[str]) -> tuple[str, ...] | None:
    """What names these shortcuts: stages and blocks; None for all that are there, where there are any."""
    return tuple(removal_of(plain, kept)) or None if plain else ()


def _within(place: str, modules: Collection[str]) -> bool:
    """Whether a place is one of these modules or lies in one."""
    return any(f"{place}.".startswith(f"{module}.") for module in modules)
