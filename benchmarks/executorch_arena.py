"""The forecast of the peak beside the arena that ExecuTorch plans, with and without shortcuts.

    pip install executorch
    python benchmarks/executorch_arena.py resnet18 resnet50

The arena is what ExecuTorch's portable runtime sets aside for feature maps, the same on every machine. Its planner
gives every tensor a place of its own; the forecast adds up what is alive, in place and not in place.
"""

from __future__ import annotations

import argparse
import warnings

import torch

from unskip import forecast, make_net, without_shortcuts
from unskip.nets import StagedNet, find_net
from unskip.surgery import fold_batchnorm


def main() -> None:
    """Print a row for each network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="+")
    print("| network | what | with, MiB | without, MiB | ratio |\n|---|---|---|---|---|")
    for name in parser.parse_args().nets:
        net, side = make_net(name), find_net(name).image_size
        shape = (3, side, side)
        pair = (net, without_shortcuts(net))
        rows = {
            "ExecuTorch's arena": [planned_bytes(each, shape) for each in pair],
            "forecast, not in place": [forecast(each, shape, inplace=False).peak_bytes for each in pair],
            "forecast, in place": [forecast(each, shape).peak_bytes for each in pair],
        }
        for what, (with_, without) in rows.items():
            print(
                f"| {name} | {what} | {with_ / 2**20:.2f} | {without / 2**20:.2f} | {with_ / without:.2f}x |",
                flush=True,
            )


def planned_bytes(net: StagedNet, shape: tuple[int, int, int]) -> int:
    """Bytes of the arena for one image of ``(channels, height, width)``, float32, BatchNorm folded."""
    from executorch.exir import to_edge

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported = torch.export.export(fold_batchnorm(net), (torch.randn(1, *shape),))
        program = to_edge(exported).to_executorch().executorch_program
    sizes = program.execution_plan[0].non_const_buffer_sizes
    return int(sum(sizes))


if __name__ == "__main__":
    main()
