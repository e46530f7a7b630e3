"""Latency of ResNets with and without shortcuts, as exported, on this machine.

Weights are random: latency does not depend on them. Every ratio comes from the rounds of one measurement.

    python benchmarks/latency.py --repeats 50 --threads 1
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from pathlib import Path

import torch

from unskip.environment import describe_environment
from unskip.export import export_net
from unskip.measure import measure_latency, speedup
from unskip.nets import find_net, make_net
from unskip.surgery import without_shortcuts


def main() -> None:
    arguments = parse()
    for key, value in describe_environment().items():
        print(f"{key}: {value}")
    print(f"command: python {shlex.join(sys.argv)}\n")
    for name in arguments.nets:
        measure(name, arguments.threads, arguments.repeats)


def measure(name: str, threads: int, repeats: int) -> None:
    side = find_net(name).image_size
    net = make_net(name)
    with tempfile.TemporaryDirectory() as folder:
        files = {"residual": Path(folder) / "residual.onnx", "plain": Path(folder) / "plain.onnx"}
        for form, path in files.items():
            # Random plain nets amplify rounding; how far the logits differ does not matter here.
            export_net(
                net if form == "residual" else without_shortcuts(net),
                path,
                torch.randn(3, 3, side, side),
                tolerance=0.1,
            )
        found = measure_latency(files, (3, side, side), threads=threads, repeats=repeats)
    for form, latency in found.items():
        print(f"{name} {form:8} {latency.median_ms:8.2f} ms (10-90 %: {latency.low_ms:.2f} - {latency.high_ms:.2f})")
    ratio = speedup(found["residual"], found["plain"])
    latency = found["plain"]
    print(
        f"{name} residual / plain {ratio.median:.3f} (10-90 %: {ratio.low:.3f} - {ratio.high:.3f}), "
        f"{latency.runtime}, CPU, threads {threads}, batch {latency.batch_size}, {side} px, {repeats} rounds\n"
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", default=["resnet18", "resnet50"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=50)
    return parser.parse_args()


if __name__ == "__main__":
    main()
