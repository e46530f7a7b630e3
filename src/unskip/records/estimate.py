"""What a device's compiler says of a network, before there is a device."""

from __future__ import annotations

from pydantic import Field

from unskip.records.figures import Record


class Layer(Record):
    """One operation in the order in which the device runs it.

    ``cycles`` are those that it takes, the most of what computing (``compute_cycles``) and each memory
    (``memory_cycles``, by the memory's name) need by themselves. ``sram_bytes`` are in use meanwhile. Layers of the
    same ``cascade`` run in stripes, one after the other, so that the maps between them never exist whole; None outside
    of one.
    """

    operation: str
    name: str = ""
    cycles: int
    compute_cycles: int = 0
    memory_cycles: dict[str, int] = Field(default_factory=dict)
    macs: int = 0
    sram_bytes: int
    cascade: int | None = None


class Traffic(Record):
    """Bytes that one inference reads from a memory and writes to it."""

    feature_maps_read: int = 0
    feature_maps_written: int = 0
    weights_read: int = 0
    weights_written: int = 0

    @property
    def feature_maps(self) -> int:
        """Both ways."""
        return self.feature_maps_read + self.feature_maps_written


class Estimate(Record):
    """What one inference costs on a device, as ``by``, a compiler and its version, estimates it for a configuration.

    ``setting`` has the configuration's options by their names. ``memory_bytes`` are what the program needs of each
    memory (``sram``, ``dram``, ``flash``), ``sram_limit_bytes`` the most SRAM that the configuration lets it use, None
    where it sets no limit. What the compiler does not say is None or missing. ``fallback`` names operations that the
    device's processor has to compute, ``operations`` counts those that it has not.
    """

    by: str
    target: str
    setting: dict[str, str] = Field(default_factory=dict)
    clock_hz: float | None = None
    cycles: int | None = None
    memory_bytes: dict[str, int]
    sram_limit_bytes: int | None = None
    traffic: dict[str, Traffic] = Field(default_factory=dict)
    operations: int
    fallback: tuple[str, ...] = ()
    layers: tuple[Layer, ...] = ()

    @property
    def milliseconds(self) -> float | None:
        """Of one inference, at the configuration's clock."""
        if self.cycles is None or self.clock_hz is None:
            return None
        return 1000 * self.cycles / self.clock_hz

    @property
    def fallback_share(self) -> float:
        """The part of all operations that the device's processor has to compute."""
        return len(self.fallback) / max(1, self.operations + len(self.fallback))
