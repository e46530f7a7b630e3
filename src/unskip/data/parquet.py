"""Parquet files in the Hugging Face hub's layout: ``train-00000-of-00001.parquet``, images as bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from unskip.data.image_set import EncodedSet, Rows
from unskip.errors import UnskipError

__all__ = ["parquet_files", "parquet_folder"]

_TEST_NAMES = ("test", "validation", "valid", "val")
_PREFERRED_LABELS = ("label", "labels", "fine_label")
_SHARD = re.compile(r"(?P<split>[a-z]+)(-\d+-of-(?P<total>\d+))?(-.*)?\.parquet")


def parquet_files(path: Path) -> dict[str, list[Path]]:
    """The Parquet files of every split, in ``path`` or the only folder in it that has any; else none."""
    if not path.is_dir():
        return {}
    here = _files_in(path)
    if here:
        return here
    inner = [files for entry in sorted(path.iterdir()) if entry.is_dir() and (files := _files_in(entry))]
    return inner[0] if len(inner) == 1 else {}


def _files_in(folder: Path) -> dict[str, list[Path]]:
    splits: dict[str, list[Path]] = {}
    for file in sorted(folder.glob("*.parquet")):
        match = _SHARD.fullmatch(file.name)
        if match and match["split"] in ("train", *_TEST_NAMES):
            splits.setdefault(match["split"], []).append(file)
    return splits if "train" in splits else {}


def parquet_folder(
    path: Path, image_column: str | None, label_column: str | None
) -> tuple[tuple[str, ...], ParquetListing, ParquetListing | None]:
    """Class names, training images, and test images where there are files of them.

    Labels are read, images are not. Class names come from the schema's Hugging Face metadata; without it they are
    the labels' numbers.
    """
    splits = parquet_files(path)
    if not splits:
        raise UnskipError(
            f"no Parquet files in {path}, nor in exactly one folder in it: expected train-*.parquet "
            f"beside test-*.parquet (or validation-*.parquet)"
        )
    schema = _schema(splits["train"][0])
    image_column = _image_column(schema, image_column, splits["train"][0])
    label_column = _label_column(schema, label_column, splits["train"][0])
    labels = _labels(splits["train"], label_column)
    test_files, test_labels = next(
        (
            (splits[name], found)
            for name in _TEST_NAMES
            # The hub hides the labels of some test splits by writing -1 everywhere.
            if name in splits and (found := _labels(splits[name], label_column)).max(initial=-1) >= 0
        ),
        (None, None),
    )
    names = _class_names(schema, label_column)
    values = np.arange(len(names)) if names else np.unique(labels)
    train = ParquetListing(_indexed(labels, values, splits["train"]), splits["train"], image_column)
    test = None
    if test_files is not None and test_labels is not None:
        test = ParquetListing(_indexed(test_labels, values, test_files), test_files, image_column)
    return names or tuple(str(value) for value in values), train, test


@dataclass(frozen=True)
class ParquetListing:
    """The rows of a split's files. ``labels``: (images,) class indices."""

    labels: Rows
    files: Sequence[Path]
    image_column: str

    def take(self, rows: Rows) -> EncodedSet:
        """Read the encoded images of these rows into memory, one row group at a time."""
        order = np.argsort(rows, kind="stable")
        wanted = rows[order]
        chunks: list[pa.Array] = []
        places: list[tuple[Path, int]] = []
        first = 0
        for path in self.files:
            file, in_file = pq.ParquetFile(path), 0
            for group in range(file.num_row_groups):
                size = file.metadata.row_group(group).num_rows
                inside = wanted[np.searchsorted(wanted, first) : np.searchsorted(wanted, first + size)] - first
                if len(inside):
                    table = file.read_row_group(group, columns=[f"{self.image_column}.bytes"])
                    images = pc.struct_field(table[self.image_column].combine_chunks(), "bytes")
                    chunks.append(images.take(pa.array(inside)).cast(pa.large_binary()))
                    places += [(path, in_file + int(row)) for row in inside]
                first, in_file = first + size, in_file + size
        encoded = pa.concat_arrays(chunks) if chunks else pa.array([], pa.large_binary())
        return EncodedSet(self.labels[wanted], encoded, places).take(np.argsort(order))


def _schema(file: Path) -> pa.Schema:
    try:
        return pq.read_schema(file)
    except (OSError, pa.ArrowException) as error:
        raise UnskipError(f"cannot read the Parquet file {file}: {error}") from error


def _image_column(schema: pa.Schema, asked: str | None, file: Path) -> str:
    images = [f.name for f in schema if pa.types.is_struct(f.type) and f.type.get_field_index("bytes") >= 0]
    return _chosen("image", "structs with a field `bytes`", images, (), asked, schema, file)


def _label_column(schema: pa.Schema, asked: str | None, file: Path) -> str:
    labels = [field.name for field in schema if pa.types.is_integer(field.type)]
    return _chosen("label", "integers", labels, _PREFERRED_LABELS, asked, schema, file)


def _chosen(
    kind: str,
    what: str,
    fitting: list[str],
    preferred: tuple[str, ...],
    asked: str | None,
    schema: pa.Schema,
    file: Path,
) -> str:
    if asked in fitting:
        return asked
    columns = ", ".join(f"{field.name} ({field.type})" for field in schema)
    if asked is not None:
        raise UnskipError(f"data.{kind}_column: {asked!r} is no column of {what} in {file}; its columns are {columns}")
    for name in preferred:
        if name in fitting:
            return name
    if len(fitting) == 1:
        return fitting[0]
    found = f"more than one column of {what}" if fitting else f"no column of {what}"
    raise UnskipError(f"{file} has {found}; name the {kind} column with data.{kind}_column; its columns are {columns}")


def _class_names(schema: pa.Schema, label_column: str) -> tuple[str, ...]:
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return tuple(str(name) for name in features[label_column]["names"])
    except (KeyError, TypeError, ValueError):  # optional, and anyone may have written it
        return ()


def _labels(files: Sequence[Path], column: str) -> Rows:
    _check_shards(files)
    parts = []
    for file in files:
        try:
            parts.append(pq.read_table(file, columns=[column])[column])
        except (OSError, KeyError, pa.ArrowException) as error:
            raise UnskipError(f"cannot read the column {column!r} of {file}: {error}") from error
        if parts[-1].null_count:
            raise UnskipError(f"the column {column!r} of {file} has {parts[-1].null_count} rows without a label")
    return np.concatenate([part.to_numpy() for part in parts]).astype(np.int64)


def _check_shards(files: Sequence[Path]) -> None:
    for file in files:
        match = _SHARD.fullmatch(file.name)
        total = match and match["total"]
        if total and int(total) != len(files):
            raise UnskipError(f"{file.name} says that there are {int(total)} files, but {file.parent} has {len(files)}")


def _indexed(labels: Rows, values: Rows, files: Sequence[Path]) -> Rows:
    """Labels as places in the list of known values."""
    unknown = np.unique(labels[~np.isin(labels, values) | (labels < 0)])
    if len(unknown):
        shown = ", ".join(map(str, unknown[:5]))
        raise UnskipError(
            f"{files[0].parent}: labels in {files[0].name} are outside the {len(values)} classes: {shown}"
            f"{', ...' if len(unknown) > 5 else ''}"
        )
    return np.searchsorted(values, labels)
