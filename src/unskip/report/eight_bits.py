"""What eight bits cost the networks of a run, residual and plain side by side, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unskip.records import About, EightBits, Figure
from unskip.report.table import RowContent, Table, build

_MEASURES = {
    "float32": About(
        title="float32",
        unit="share",
        better="higher",
        kind="answers",
        definition="float32: what the task decides by, of the network as it was trained",
    ),
    "post_training": About(
        title="After training",
        unit="share",
        better="higher",
        kind="answers",
        definition="After training: the same of a file in 8 bits whose ranges are those of calibration images",
    ),
    "quantization_aware": About(
        title="Trained in 8 bits",
        unit="share",
        better="higher",
        kind="answers",
        definition="Trained in 8 bits: the same after quantisation-aware training under the loss of the network's own "
        "training; it begins where the calibrated file loses more than 0.5 points, and the better file is kept",
    ),
    "requantized_additions": About(
        title="Requantised additions",
        unit="count",
        better="lower",
        kind="file",
        definition="Requantised additions: those in the file's graph that bring two maps, of a scale each, to a third",
    ),
}


def eight_bits_table(records: Sequence[EightBits], colors: Mapping[str, int] | None = None) -> Table:
    """A row for every network and format, formats one after the other, the net with most additions first.

    ``colors`` are those of the nets, by label.
    """
    ordered = sorted(records, key=lambda each: (each.format, each.target or "", -each.requantized_additions))
    return build("In 8 bits", _MEASURES, [_line(each, (colors or {}).get(each.label, 0)) for each in ordered])


def _line(record: EightBits, color: int) -> RowContent:
    figures = {
        name: Figure(value=value)
        for name in ("float32", "post_training", "requantized_additions")
        if (value := getattr(record, name)) is not None
    }
    trained = Figure(value=record.quantization_aware, remark=f"{record.epochs} epochs" if record.epochs else None)
    if record.note:
        trained = Figure(unknown=f"not trained in 8 bits: {record.note}")
    return RowContent(
        label=record.label,
        about=", ".join(filter(None, (record.format, record.target))),
        figures={**figures, "quantization_aware": trained},
        color=color,
    )
