"""The two drawings of the README: feature maps over an inference, and accuracy over cycles of one network.

The first is computed. The second draws the recorded figures of a table of results/equal-cost.md.
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
    """What ResNet-20 keeps of its accuracy on CIFAR-10 at fewer cycles on an Ethos-U55."""
    rows = {name: (accuracy, cycles) for name, accuracy, cycles in _recorded()}
    colors = {"teacher": TEACHER, "plain": PLAIN, "fewer blocks, 1-1-2": OTHER}
    names = {"teacher": "ResNet-20", "plain": "without shortcuts", "fewer blocks, 1-1-2": "fewer blocks"}
    assert rows.keys() == colors.keys()
    with canvas(*SIZE) as axes:
        for name, (accuracy, cycles) in rows.items():
            axes.plot(cycles, accuracy, "o", color=colors[name], markersize=9)
            side, ha = (-10, "right") if name == "teacher" else (10, "left")
            about = f"{names[name]}: {accuracy:.1f} %"
            axes.annotate(
                about, (cycles, accuracy), (side, 0), textcoords="offset points", ha=ha, va="center", color=INK
            )
        axes.set(xlim=(0, 1000), ylim=(80, 88), xlabel="thousand cycles an image, Ethos-U55-128 (estimated)")
        round_ticks(axes.yaxis)
        _finish(axes, "ResNet-20, CIFAR-10: top-1, %")
        said = "Accuracy over cycles of ResNet-20 on CIFAR-10, as it is, without shortcuts and with fewer blocks"
        return standalone(to_svg(axes, "cycles", said))


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, color=INK)
    axes.tick_params(labelsize=12)


def _recorded() -> list[tuple[str, float, float]]:
    """Name, top-1 in per cent and thousand cycles, from the table of ResNet-20 after the longer training."""
    _, _, after = (HERE / "results" / "equal-cost.md").read_text().partition("at five times the training")
    table = after.partition("\n#")[0]
    rows = re.findall(r"^\| ([\w, -]+) \| ([\d.]+)[^|]*\|[^|]*\| (\d+) \|", table, re.MULTILINE)
    return [(name, float(accuracy), float(cycles)) for name, accuracy, cycles in rows]
