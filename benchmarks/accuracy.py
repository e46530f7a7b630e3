"""A recipe with several seeds: mean, spread and every figure, as a Markdown table.

    python benchmarks/accuracy.py cifar10-quick --data CIFAR --seeds 0 1 2

Each seed is a run of its own below ``--out``; one that is complete is not run again.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from unskip import run_recipe
from unskip.cli.run import asked_recipe
from unskip.records import Run


def main() -> None:
    """Run the seeds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--data")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    results = []
    for seed in arguments.seeds:
        settings = [*arguments.set, f"seed={seed}"]
        recipe, _ = asked_recipe(arguments.recipe, data=arguments.data, settings=settings)
        folder = arguments.out / f"{Path(arguments.recipe).stem}-seed{seed}"
        results.append(run_recipe(recipe, folder, console=Console(stderr=True)))
    print(table(results))


def table(results: Sequence[Run]) -> str:
    """Top-1 in per cent over the runs (mean, sample standard deviation, each figure), training time and peak memory."""
    seeds = [str(result.seed) for result in results]
    lines = [
        f"| net | top-1, mean ± sd of {len(results)} | seeds {', '.join(seeds)} | training, s | peak memory, KiB |",
        "|---|---|---|---|---|",
    ]
    for nets in zip(*(result.nets for result in results), strict=True):
        top1 = [100 * result.score(net) for result, net in zip(results, nets, strict=True)]
        spread = f" ± {statistics.stdev(top1):.2f}" if len(top1) > 1 else ""
        seconds = [net.seconds for net in nets if net.seconds is not None]
        peak = results[0].figure(nets[0], "peak").value or 0
        lines.append(
            f"| {nets[0].label} | {statistics.mean(top1):.2f}{spread} | {', '.join(f'{t:.2f}' for t in top1)} "
            f"| {statistics.median(seconds) if seconds else 0:.0f} | {peak / 1024:.1f} |"
        )
    environment = results[0].comparison.environment
    machine = ", ".join(
        f"{key} {environment[key]}" for key in ("cpu", "threads", "bf16_on_cpu", "accelerator", "torch")
    )
    return "\n".join([*lines, "", f"Machine: {machine}."])


if __name__ == "__main__":
    main()
