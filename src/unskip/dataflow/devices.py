"""What a forecast knows of a device: how fast it computes, what it can hold, and how fast its memories are."""

from __future__ import annotations

from dataclasses import dataclass

from unskip.errors import UnskipError, nearest
from unskip.runtimes.ethos_u import EthosU

_KIB = 1024


@dataclass(frozen=True)
class Memory:
    """Bytes a cycle, cycles until the first of them comes, and the bytes of a burst, which moves as a whole."""

    bandwidth: float
    latency: int
    burst: int

    def cycles(self, size: float) -> float:
        """Cycles to move so many bytes in one go."""
        return size / self.bandwidth + self.latency


@dataclass(frozen=True)
class Device:
    """A neural processor with an SRAM and, perhaps, a memory behind it.

    ``sram_bytes`` is the SRAM that it may use. Weights are read from the memory ``behind``, where there is one. Where
    it ``spills``, feature maps that find no room in the SRAM lie there too; elsewhere they live in the SRAM or nowhere.
    One that ``chains`` computes an addition on the way out of the convolution in front of it.
    """

    name: str
    macs_per_cycle: int
    cores: int
    sram_bytes: int
    sram: Memory
    behind: Memory | None
    spills: bool
    chains: bool = False

    @property
    def unit(self) -> tuple[int, int, int]:
        """Rows, columns and channels of the output that are computed at once."""
        macs = self.macs_per_cycle // self.cores
        return {32: (1, 1, 4), 64: (1, 1, 8), 128: (1, 2, 8)}.get(macs, (2, 2, 8))

    @property
    def banks(self) -> tuple[int, int, int]:
        """KiB of the processor's buffers: steps in which inputs and sums are given some, and what both share."""
        macs = self.macs_per_cycle // self.cores
        return {32: (2, 4, 14), 64: (2, 4, 14), 128: (4, 8, 20)}.get(macs, (8, 16, 44))


def device_named(name: str, *, sram_bytes: int | None = None) -> Device:
    """An Ethos-U by its name, such as ``ethos-u65-256``: the processor and its MACs a cycle.

    Memories are those that ExecuTorch 1.5.1 chooses and Vela 5.1.0 describes (``Arm/vela.ini``): on a U55 an SRAM in
    front of a flash, on a U65 384 KiB of SRAM in front of a DRAM, on a U85 an SRAM alone. ``sram_bytes`` is another
    size of the SRAM. Raises `UnskipError` for another name.
    """
    if name not in EthosU.targets:
        raise UnskipError(f"no device {name!r}{nearest(name, EthosU.targets)} (known: {', '.join(EthosU.targets)})")
    _, family, number = name.split("-")
    macs = int(number)
    if family == "u65":
        dram = Memory(3.75, 500, 128)
        cores = max(macs // 256, 1)
        return Device(name, macs, cores, sram_bytes or 384 * _KIB, Memory(16.0, 32, 32), dram, spills=True)
    size = sram_bytes or 4096 * _KIB
    if family == "u55":
        return Device(name, macs, 1, size, Memory(8.0, 32, 32), Memory(1.0, 64, 128), spills=False)
    return Device(name, macs, 1, size, Memory(32.0, 32, 64), None, spills=False, chains=True)
