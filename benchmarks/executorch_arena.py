"""The forecast of the peak beside the arena that ExecuTorch plans, with and without shortcuts.

    pip install 'unskip[executorch]'
    python benchmarks/executorch_arena.py resnet18 resnet50

The arena is what ExecuTorch's portable runtime sets aside for feature maps, the same on every machine. Its planner
gives every tensor a place of its own; the forecast adds up what is alive, in place and not in place.
"""

from __future__ import annotations

import argparse

from unskip import forecast, make_net, without_shortcuts
from unskip.export import planned_arena
from unskip.nets import find_net


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
            "ExecuTorch's arena": [planned_arena(each, shape) for each in pair],
            "forecast, not in place": [forecast(each, shape, inplace=False).peak_bytes for each in pair],
            "forecast, in place": [forecast(each, shape).peak_bytes for each in pair],
        }
        for what, (with_, without) in rows.items():
            print(
                f"| {name} | {what} | {with_ / 2**20:.2f} | {without / 2**20:.2f} | {with_ / without:.2f}x |",
                flush=True,
            )


if __name__ == "__main__":
    main()
