"""The drawings of the README and of a page of results.

Feature maps over an inference are computed. The others draw the recorded figures of tables in results/.
"""

from __future__ import annotations

import re
from pathlib import Path

from matplotlib.axes import Axes

from unskip import edits, forecast, make_net
from unskip.report.svg import INK, canvas, net_color, round_ticks, standalone, to_svg

HERE = Path(__file__).resolve().parent
MIB = 2**20
SIZE = 400, 270  # as wide as a phone: two stand side by side on a wider screen
TEACHER, PLAIN, OTHER = net_color(0), net_color(1), net_color(2)


def memory_picture() -> str:
    """What ResNet-50 holds while it runs on one image, with its shortcuts and without."""
    net = make_net("resnet50")
    with canvas(*SIZE) as axes:
        for name, color, version in (
            ("with shortcuts", TEACHER, net),
            ("without", PLAIN, edits.without_shortcuts(net)),
        ):
            timeline = forecast(version, (3, 224, 224))
            live = [operation.live_bytes / MIB for operation in timeline.operations]
            ends = [number / len(live) for number in range(len(live) + 1)]
            label = f"{name}: peak {timeline.peak_bytes / MIB:.2f} MiB"
            axes.stairs(live, ends, color=color, linewidth=1.8, label=label)
        axes.set(xlim=(0, 1), ylim=(0, None), xticks=[], xlabel="from the first layer to the last")
        _finish(axes, "ResNet-50: memory of feature maps, MiB")
        axes.legend(frameon=False, labelcolor=INK, loc="upper right")
        said = "Live feature maps of ResNet-50 over one inference, with shortcuts and without"
        return standalone(to_svg(axes, "memory", said))


def cycles_picture() -> str:
    """What a trained ResNet-56 keeps of its accuracy on CIFAR-10 at fewer cycles on an Ethos-U55."""
    names = {"none": "all shortcuts", "9 of 27": "without 9", "18 of 27": "without 18", "all 27": "without all 27"}
    with canvas(*SIZE) as axes:
        for removed, cycles, accuracy, spread in _by_shortcuts():
            name = next(name for start, name in names.items() if removed.startswith(start))
            color = TEACHER if removed == "none" else PLAIN
            axes.errorbar(cycles, accuracy, yerr=spread, fmt="o", color=color, markersize=9, capsize=3)
            axes.annotate(
                f"{name}: {accuracy:.1f} %",
                (cycles, accuracy),
                (0, 16 if removed == "none" or removed.startswith("18") else -16),
                textcoords="offset points",
                ha="right" if removed == "none" else "left",
                va="center",
                color=INK,
            )
        axes.set(xlim=(1300, 2500), ylim=(86, 90), xlabel="thousand cycles an image, Ethos-U55-128 (estimated)")
        round_ticks(axes.xaxis)
        round_ticks(axes.yaxis)
        _finish(axes, "Trained ResNet-56, CIFAR-10: top-1, %")
        said = (
            "Accuracy over cycles of a trained ResNet-56 on CIFAR-10, with its shortcuts and without 9, 18 and all 27"
        )
        return standalone(to_svg(axes, "cycles", said))


def depth_picture() -> str:
    """What plain networks reach, by depth and by how they are trained."""
    depths, rows = _by_depth()
    with canvas(820, 330) as axes:
        for index, (name, figures) in enumerate(rows.items()):
            means, spreads = zip(*figures, strict=True)
            style, width = ("--", 4.0) if index == 0 else ("-", 1.6)  # under the line of those that keep its accuracy
            axes.errorbar(
                range(len(depths)),
                means,
                yerr=spreads,
                color=net_color(index),
                fmt=f"o{style}",
                linewidth=width,
                capsize=3,
                label=name,
            )
        axes.set(
            xticks=range(len(depths)),
            xticklabels=depths,
            xlim=(-0.2, len(depths) - 0.8),
            ylim=(0, 105),
            xlabel="layers",
        )
        round_ticks(axes.yaxis)
        _finish(axes, "Handwritten digits: top-1, %")
        axes.legend(frameon=False, labelcolor=INK, loc="center left", bbox_to_anchor=(1, 0.5))
        said = (
            "Accuracy of networks without shortcuts by depth, trained in six ways, beside the ResNet with its shortcuts"
        )
        return standalone(to_svg(axes, "depth", said))


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, color=INK)
    axes.tick_params(labelsize=12)


def _by_shortcuts() -> list[tuple[str, float, float, float]]:
    """What is removed of ResNet-56, thousand cycles, top-1 in per cent and its spread, by results/fitting.md."""
    _, _, after = (HERE / "results" / "fitting.md").read_text().partition("| ResNet-56 | none |")
    table = "| | none |" + after.partition("| ResNet-20 |")[0]
    rows = re.findall(r"^\| \| ([^|]+) \| (\d+)[^|]*\|[^|]*\| ([\d.]+)(?: ± ([\d.]+))? ", table, re.MULTILINE)
    return [(removed, float(cycles), float(top1), float(spread or 0)) for removed, cycles, top1, spread in rows]


def _by_depth() -> tuple[list[str], dict[str, list[tuple[float, float]]]]:
    """The depths, and mean and spread at each of them for every row of the table of results/depth.md."""
    text = (HERE / "results" / "depth.md").read_text()
    table = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ") and "±" in line]
    [head] = [line for line in text.splitlines() if line.startswith("| network |")]
    depths = [re.sub(r"\D", "", cell) for cell in head.strip("| ").split(" | ")[1:]]
    return depths, {
        name: [(float(mean), float(spread)) for mean, spread in (cell.split(" ± ") for cell in cells)]
        for name, *cells in table
    }
