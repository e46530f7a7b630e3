"""Measurements and estimates with known figures, and students that are counted once."""

import json

import torch

from unskip import make_net
from unskip.records import Cell, Estimate, Figure, Traffic
from unskip.runtimes import Configuration
from unskip.search.students import StudentSearch

DEVICE = Configuration("ethos_u", "ethos-u65-256", {"optimise": "speed"})
_searches = {}


def searched(net, input_shape, progress=lambda said: None, *, like=None, **more):
    """The search in the students of a network, done once for all who ask: it takes seconds, and nobody changes one."""
    key = json.dumps([net.spec.to_json(), input_shape, more], sort_keys=True)
    if key not in _searches:
        _searches[key] = StudentSearch(net, input_shape, progress, like=like, **more)
    return _searches[key]


def meta_net(name, options=None):
    """A network without weights."""
    with torch.device("meta"):
        return make_net(name, options or {})


def timed(low, median, high, file_bytes=1000):
    """A file that takes these shares of a network's time, which is 10 ms."""
    return Cell(
        subject="a student",
        figures={
            "latency": Figure(value=10 * median, low=10 * low, high=10 * high),
            "latency_ratio": Figure(value=median, low=low, high=high),
            "file_bytes": Figure(value=file_bytes),
        },
    )


def estimated(cycles, sram=1000, *, cache=None, layers=(), traffic=0):
    """What a compiler would say; ``cache`` is the SRAM where it is one in front of a DRAM."""
    dram = {} if cache is None else {"dram": Traffic(feature_maps_read=traffic)}
    return Estimate(
        by="A compiler 1.0",
        target=DEVICE.target,
        clock_hz=1e6,
        cycles=cycles,
        memory_bytes={"sram": sram},
        sram_limit_bytes=cache,
        traffic=dram,
        operations=len(layers),
        layers=layers,
    )


class Compiler:
    """A compiler by formula, in the place of a real one: ``cost`` gives an estimate of a spec's edits, by name."""

    def __init__(self, cost):
        self.cost = cost
        self.asked = []

    def __call__(self, specs, input_shape, device, *, compiled=lambda done, of: None):
        self.asked += specs
        compiled(len(specs), len(specs))
        return [self.cost(dict(spec.edits), device) for spec in specs]
