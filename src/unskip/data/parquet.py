"""Parquet files with a column of images, encoded as bytes or as paths beside them, and a column of labels."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from unskip.data.image_set import Rows
from unskip.data.parquet_columns import choose_columns, class_names, labels_as_read
from unskip.data.parquet_files import parquet_files
from unskip.data.row_groups import RowGroups, RowGroupSet, reading
from unskip.data.scan import few
from unskip.data.splits import TEST_SPLITS, Split
from unskip.errors import UnskipError


def parquet_folder(
    path: Path, image_column: str | None, label_column: str | None, memory: float = math.inf
) -> tuple[tuple[str, ...], ParquetListing, ParquetListing | None]:
    """Class names, training images, and test images where there are files of them.

    Labels are read, images are not; ``memory`` is how many bytes of them a split may hold at once, by default all.
    Class names come from the schema's Hugging Face metadata; without it they are the values of the training labels,
    sorted.
    """
    splits = parquet_files(path)
    if not splits:
        raise UnskipError(
            f"no Parquet files of training images in {path}, nor in a folder in it: expected train-*.parquet beside "
            f"test-*.parquet (or validation-*.parquet), or train/*.parquet beside test/*.parquet"
        )
    first = splits["train"][0]
    with reading(first):
        schema = pq.read_schema(first)
    columns = image, label = choose_columns(schema, image_column, label_column, first)
    names = class_names(schema, label)
    labels = _labels(splits["train"], columns, names)
    if labels.null_count:
        raise UnskipError(
            f"the column {label!r} of {_shown(splits['train'])} has {labels.null_count} rows without "
            f"a label; remove them"
        )
    in_files = sorted(labels.unique().to_pylist())
    values = pa.array(range(len(names)) if names else in_files, labels.type)
    train = ParquetListing(_indexed(labels, values, splits["train"]), splits["train"], image, path, memory)
    test, used = None, None
    for split in (split for split in TEST_SPLITS if split in splits and test is None):
        tested = _labels(splits[split], columns, names)
        if not _hidden(tested):
            test = ParquetListing(_indexed(tested, values, splits[split]), splits[split], image, path, memory)
            used = split
    _warn(path, splits, used)
    return names or tuple(map(str, in_files)), train, test


@dataclass(frozen=True)
class ParquetListing:
    """The rows of a split's files. ``labels``: (images,) class indices; ``root``: where paths of images may lead.

    ``memory``: bytes of encoded images that are held at once, of so many as are taken.
    """

    labels: Rows
    files: Sequence[Path]
    image_column: str
    root: Path
    memory: float

    def take(self, rows: Rows) -> RowGroupSet:
        """The images at these rows, read into memory where they fit. `UnskipError` for damage."""
        groups = RowGroups(self.files, self.image_column, rows, len(self.labels), self.memory)
        return RowGroupSet(self.labels[rows], rows, groups, self.root)


def _labels(files: Sequence[Path], columns: tuple[str, str], names: tuple[str, ...]) -> pa.ChunkedArray:
    """The labels of all rows, in one type; files must all be like the first one."""
    parts = [_labels_of(file, columns, names) for file in files]
    kinds = {part.type for part in parts}
    if len(kinds) > 1:
        raise UnskipError(
            f"the column {columns[1]!r} is not of one type in {_shown(files)}: {', '.join(map(str, kinds))}"
        )
    return pa.chunked_array([chunk for part in parts for chunk in part.chunks], parts[0].type)


def _labels_of(file: Path, columns: tuple[str, str], names: tuple[str, ...]) -> pa.ChunkedArray:
    with reading(file):
        schema = pq.read_schema(file)
        _, label = choose_columns(schema, *columns, file)
        own = class_names(schema, label)
        if own and names and own != names:
            raise UnskipError(
                f"{file} numbers the classes in another way than the first training file: {few(own)} "
                f"against {few(names)}"
            )
        column = pq.read_table(file, columns=[label])[label]
        column.validate(full=True)  # or text that is not UTF-8 would be noticed much later
        return labels_as_read(column, label, file)


def _indexed(labels: pa.ChunkedArray, values: pa.Array, files: Sequence[Path]) -> Rows:
    """Labels as places in the list of known values."""
    indices = pc.index_in(labels, value_set=values.cast(labels.type)) if labels.type == values.type else None
    if indices is None or indices.null_count:
        wrong = labels if indices is None else labels.filter(indices.is_null())
        shown = [str(value) for value in wrong.unique().slice(0, 6).to_pylist()]
        raise UnskipError(
            f"{files[0].parent}: labels in {files[0].name} are outside the {len(values)} classes: {few(shown, 5)}"
        )
    return indices.to_numpy().astype(np.int64)


def _hidden(labels: pa.ChunkedArray) -> bool:
    """Whether a split keeps its labels to itself, as the hub writes it: -1 everywhere, or nothing."""
    known = labels.drop_null()
    if pa.types.is_integer(labels.type):
        return len(known) == 0 or pc.max(known).as_py() < 0
    return len(known) == 0 or (pa.types.is_large_string(labels.type) and pc.max(pc.utf8_length(known)).as_py() == 0)


def _warn(path: Path, splits: Mapping[Split, Sequence[Path]], used: Split | None) -> None:
    passed_over = [split for split in splits if split not in ("train", used)]
    if passed_over:
        tests = f"tests use the split {used}" if used else "their labels are hidden, tests use held-out training images"
        warnings.warn(f"{path}: {tests}; passed over: {few(passed_over)}", stacklevel=4)


def _shown(files: Sequence[Path]) -> str:
    return few([str(file) for file in files], 2)
