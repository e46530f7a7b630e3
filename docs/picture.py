"""Draw images/planning.png: what lives while ResNet-18, ResNet-50 and MobileNetV2 run, with edits and without.

python docs/picture.py
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from unskip import forecast, make_net
from unskip.surgery import Edit, edited

LEAN: Edit = ("with_lean_stem", {})
PLAIN: Edit = ("without_shortcuts", {})
PICTURES: dict[str, dict[str, tuple[Edit, ...]]] = {
    "resnet18": {"as it is": (), "without shortcuts": (PLAIN,), "lean stem": (LEAN,), "both": (LEAN, PLAIN)},
    "resnet50": {"as it is": (), "without shortcuts": (PLAIN,)},
    "mobilenetv2": {"as it is": (), "without shortcuts": (PLAIN,)},
}
COLORS = {"as it is": "#8a8a8a", "without shortcuts": "#d1495b", "lean stem": "#edae49", "both": "#00798c"}


def main() -> None:
    """Write the file beside this one."""
    figure = Figure(figsize=(9, 7.5), layout="constrained")
    for axes, (name, versions) in zip(figure.subplots(len(PICTURES)), PICTURES.items(), strict=True):
        net = make_net(name)
        for label, edits in versions.items():
            timeline = forecast(edited(net, edits, seed=0), (3, 224, 224))
            live = [operation.live_bytes / 2**20 for operation in timeline.operations]
            ends = [number / len(live) for number in range(len(live) + 1)]
            peak = f"{label}, peak {timeline.peak_bytes / 2**20:.2f} MiB"
            axes.stairs(live, ends, color=COLORS[label], linewidth=1.6, label=peak)
        axes.set_title(f"{name}, 224x224", loc="left", fontsize=11)
        axes.set_ylabel("MiB alive")
        axes.set(xlim=(0, 1), ylim=(0, None), xticks=[])
        axes.legend(frameon=False, fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("from the first operation to the last")
    figure.savefig(Path(__file__).parent / "images" / "planning.png", dpi=110)


if __name__ == "__main__":
    main()
