"""The network that a state dict belongs to, how sure that is, and in which words to say it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from unskip.recognition.candidates import (
    has_own_names,
    named_candidate,
    own_candidates,
    timm_candidates,
    torchvision_candidates,
)
from unskip.recognition.signature import COUNTERS, Match, Tensors
from unskip.state_dicts import StateDict, state_dicts_in

_SAYS_ITS_NETWORK = ("arch", "model_name", "architecture")  # as training scripts note it in their checkpoints
_ALIKE = 0.5  # of the tensors; a network that has fewer is none to speak of


@dataclass(frozen=True)
class Recognition:
    """The network that a state dict is most like, by its name and options.

    ``fitting`` of its ``of`` tensors are in the state dict, in their shapes; ``missing`` are the first others,
    ``extra`` the first of the state dict that the network has not. ``others`` have the very same tensors and need not
    compute the same. BatchNorm's counters are left out of all.
    """

    source: str
    options: Mapping[str, Any]
    fitting: int
    of: int
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def is_certain(self) -> bool:
        """Whether network and state dict have the same tensors, and no other network has."""
        return self.fits and not self.others

    @property
    def fits(self) -> bool:
        """Whether network and state dict have the same tensors."""
        return not self.missing and not self.extra

    def __str__(self) -> str:
        options = ", ".join(f"{name} {value}" for name, value in self.options.items())
        return f"{self.source} ({options})" if options else self.source

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "net": self.source,
            "options": dict(self.options),
            "fitting": self.fitting,
            "of": self.of,
            "certain": self.is_certain,
            "others": list(self.others),
        }


def recognise(content: Any) -> Recognition | None:
    """The known network that a state dict in ``content``, what a file holds, belongs to or is most like.

    Known are those of this package, of torchvision and, where it is installed, of timm: in this order, the first of
    which the file has all tensors and no others. None where nothing known has half of its tensors.
    """
    held = _whole_state_dicts(content)
    stated_names = (
        [str(content[key]) for key in _SAYS_ITS_NETWORK if key in content] if isinstance(content, Mapping) else []
    )
    best: Match | None = None
    for each in held:
        for match in _candidates(each.tensors, stated_names):
            if match.is_exact:
                return _found(match, each.tensors, stated_names)
            if best is None or match.share > best.share:
                best = match
    return _recognition(best) if best is not None and best.share >= _ALIKE else None


def _candidates(tensors: Tensors, stated_names: list[str]) -> Iterator[Match]:
    named = (named_candidate(source, tensors) for source in stated_names)
    own = chain(filter(None, named), own_candidates(tensors))
    if has_own_names(tensors):  # which no other package gives, and timm's many networks take long
        return own
    return chain(own, torchvision_candidates(tensors), timm_candidates(tensors))


def _found(match: Match, tensors: Tensors, stated_names: list[str]) -> Recognition:
    """A network of timm may have twins that pad or activate otherwise, unless the file says which it is."""
    source = match.signature.source
    if not source.startswith("timm:") or source.removeprefix("timm:") in stated_names:
        return _recognition(match)
    twins = timm_candidates(tensors, twins_of=source.removeprefix("timm:"))
    exact = [other.signature.source for other in twins if other.is_exact]
    return _recognition(match, tuple(name for name in exact if name != source))


def _recognition(match: Match, others: tuple[str, ...] = ()) -> Recognition:
    own = match.signature
    missing = tuple(match.missing)
    return Recognition(
        own.source,
        match.options,
        match.fitting,
        len(own.shapes),
        missing,
        tuple(name for name in match.shapes if name not in own.shapes),
        others,
    )


def _whole_state_dicts(content: Any) -> list[StateDict]:
    """The state dicts in a file that have most of its tensors, the network's own before averaged ones."""
    found = [each for each in state_dicts_in(content) if _size(each)]
    most = max(map(_size, found), default=0)
    return sorted((each for each in found if 2 * _size(each) > most), key=lambda each: each.is_another_copy)


def _size(state: StateDict) -> int:
    return sum(not name.endswith(COUNTERS) for name in state.tensors)
