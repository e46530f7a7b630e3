"""The table of what an export wrote."""

import io
from pathlib import Path

from rich.console import Console

from unskip.cli._exports import show_exports
from unskip.export import Exported


def written(name: str, precision: str) -> Exported:
    tolerance = 1e-3 if precision == "float32" else None
    agreement = {"max_difference": 1e-6, "mean_difference": 1e-7, "agreement": 1.0, "constant": False, "images": 256}
    facts = {"depth": None, "format": "onnx", "runtime": "ONNX Runtime", "batch_size": None, "file_bytes": 2**20}
    return Exported(path=Path(name), precision=precision, tolerance=tolerance, scores=None, **facts, **agreement)


def shown(*files: Exported) -> str:
    console = Console(file=io.StringIO(), width=80)
    show_exports(files, console)
    return console.file.getvalue()


def test_a_precision_that_all_files_have_is_said_once():
    text = shown(written("a.onnx", "float32"), written("b.onnx", "float32"))
    assert text.count("float32.") == 2  # and in what is said of parity
    assert "Precision: float32." in text


def test_files_of_several_precisions_have_a_column_for_it():
    text = shown(written("a.onnx", "float32"), written("a-int8.onnx", "int8"))
    assert "Precision:" not in text
    assert [line.split()[2] for line in text.splitlines() if line.startswith("a")] == ["float32", "int8"]
