"""What a budget is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from unskip.errors import UnskipError, nearest
from unskip.measures import limits
from unskip.measures.base import ELEMENT_BYTES


@dataclass(frozen=True)
class Budget:
    """What a student may cost: the most of each figure, by the names of the measures' limits.

    `unskip.measures.limits` has them: ``memory`` for the live feature maps of one image, ``parameters``, ``macs``,
    ``file_size`` for the exported file, ``latency_ratio`` for the student's time divided by the teacher's,
    ``latency_ms`` for one image. A limit is a number in its measure's unit, or a text such as ``4MiB``. ``element``
    names the type of feature maps and weights, ``float32`` or ``int8``.

    ``most`` are the limits by what they limit: a measure, or for a relative limit its own name. Raises `UnskipError`
    for limits that cannot be, and where there is none.
    """

    limits: Mapping[str, float | str]
    element: str = "float32"
    most: Mapping[str, float] = field(init=False)

    def __post_init__(self) -> None:
        limit_of = limits()
        listed = ", ".join(f"`{name}`" for name in limit_of)
        if not self.limits:
            raise UnskipError(f"a budget has at least one limit: {listed}")
        if self.element not in ELEMENT_BYTES:
            raise UnskipError(f"no `element` {self.element!r}; known: {', '.join(ELEMENT_BYTES)}")
        for name in self.limits:
            if name not in limit_of:
                raise UnskipError(f"no limit {name!r}{nearest(name, limit_of)} (known: {listed})")
        most = {
            limit.name if limit.relative else measure.name: limit.parse(str(self.limits[name]), name)
            if isinstance(self.limits[name], str)
            else _checked(name, float(self.limits[name]), 1 if limit.relative else float("inf"))
            for name, (measure, limit) in limit_of.items()
            if name in self.limits
        }
        object.__setattr__(self, "most", most)

    def limit_of(self, limited: str) -> str:
        """The name of the limit, in words, of something in ``most``."""
        names = {limit.name if limit.relative else measure.name: limit.name for measure, limit in limits().values()}
        return names[limited].replace("_", " ")

    @property
    def bytes_per_element(self) -> int:
        """The size of an element of a feature map or a weight."""
        return ELEMENT_BYTES[self.element]


def _checked(name: str, value: float, largest: float) -> float:
    if not 0 < value <= largest or value == float("inf"):
        raise UnskipError(f"`{name}` {value:g}: expected a number above 0{' and up to 1' * (largest == 1)}")
    return value
