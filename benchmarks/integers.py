"""How long the integers of an Ethos-U file take here and in Arm's TOSA reference model, and whether they are equal.

    python benchmarks/integers.py net.ethos-u55-128.tosa --images 64

The graph lies beside an exported file. Both run one after the other on the same random integers, several times.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from unskip.runtimes._tosa import Interpreter
from unskip.runtimes._tosa.graph import read_graph
from unskip.runtimes.ethos_u import _ReferenceModel


def main() -> None:
    """Time both, and print milliseconds an image and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graph", type=Path)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    data = arguments.graph.read_bytes()
    graph = read_graph(data)
    shape = graph.values[graph.inputs[0]].shape
    batches = np.random.default_rng(0).integers(-128, 128, (arguments.images // shape[0], *shape)).astype(np.int8)
    fast, reference = Interpreter(data), _ReferenceModel(data)
    pairs = [(timed(fast, batches), timed(reference, batches)) for _ in range(arguments.repeats)]
    (answers, _), (right, _) = pairs[0]
    equal = all(np.array_equal(one, other.reshape(one.shape)) for one, other in zip(answers, right, strict=True))
    here, there = (1e3 * statistics.median(pair[side][1] for pair in pairs) / arguments.images for side in (0, 1))
    ratio = statistics.median(pair[1][1] / pair[0][1] for pair in pairs)
    print(f"{here:.1f} ms an image here, {there:.1f} ms in the reference model: {ratio:.1f} times; equal: {equal}")


def timed(run: Callable[[Any], list[Any]], batches: Any) -> tuple[list[Any], float]:
    """What a run gives, and its seconds."""
    started = perf_counter()
    answers = run(batches)
    return answers, perf_counter() - started


if __name__ == "__main__":
    main()
