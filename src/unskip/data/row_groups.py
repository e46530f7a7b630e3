"""The images of Parquet files, by row groups: all in memory where they fit, else those in use."""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from unskip.data.image_set import ImageSet, Rows
from unskip.data.scan import few
from unskip.data.windows import windowed_order
from unskip.errors import UnskipError, first_line
from unskip.images import open_image

_GROWTH, _ALLOWED = 64, 2**30  # encoded images hardly shrink: what grows more, and to more bytes, is no image data


@dataclass(frozen=True)
class _Group:
    """A row group: its file, its number and its first row there, and its first row of all."""

    file: Path
    number: int
    first_in_file: int
    first: int


@dataclass(frozen=True)
class _Loaded:
    """The wanted images of a row group. ``rows``: rising, among all rows; pyarrow arrays of bytes and of text."""

    rows: Rows
    encoded: pa.Array
    paths: pa.Array


class RowGroups:
    """The images at some ``rows`` of a split's files, of which at most ``memory`` bytes are held.

    Where all of them take no more, they are read at once, and damage shows; else when they are needed, and those that
    were not for the longest time are forgotten. Several threads may use it. `UnskipError` for damage.
    """

    def __init__(self, files: Sequence[Path], image_column: str, rows: Rows, num_rows: int, memory: float) -> None:
        self.image_column, self.memory = image_column, memory
        self.rows = np.unique(rows)
        self._groups: list[_Group] = []
        self._loaded: OrderedDict[int, Future[_Loaded]] = OrderedDict()
        self._lock = threading.Lock()
        total, first = 0.0, 0
        for path in files:
            with reading(path), pq.ParquetFile(path) as file:
                in_file = 0
                for number in range(file.num_row_groups):
                    group = file.metadata.row_group(number)
                    self._groups.append(_Group(path, number, in_file, first))
                    inside = len(self._inside(first, first + group.num_rows))
                    total += group.total_byte_size * inside / max(1, group.num_rows)
                    first, in_file = first + group.num_rows, in_file + group.num_rows
        if first != num_rows:
            names = few([str(file) for file in files], 2)
            raise UnskipError(f"{names} changed while they were read: {first} of {num_rows} rows")
        self._ends = np.array([group.first for group in self._groups[1:]] + [num_rows], np.int64)
        self.fits = total <= memory
        self.rows_at_once = len(self.rows) if self.fits else int(len(self.rows) * memory / total)
        if self.fits:
            for number in np.unique(self.group_of(self.rows)):
                self._load(int(number))

    def group_of(self, rows: Rows) -> Rows:
        """(rows,) which row group each lies in."""
        return np.searchsorted(self._ends, rows, side="right")

    def at(self, row: int) -> tuple[bytes | None, str | None]:
        """A row's encoded image and path, None where it has none."""
        group = self._load(int(self.group_of(np.array([row]))[0]))
        place = int(np.searchsorted(group.rows, row))
        return group.encoded[place].as_py(), group.paths[place].as_py()

    def place(self, row: int) -> tuple[Path, int]:
        """A row's file, and its number there."""
        group = self._groups[int(self.group_of(np.array([row]))[0])]
        return group.file, row - group.first + group.first_in_file

    def _inside(self, first: int, end: int) -> Rows:
        return self.rows[np.searchsorted(self.rows, first) : np.searchsorted(self.rows, end)]

    def _load(self, number: int) -> _Loaded:
        """A row group that is in memory, or that this thread or another one reads."""
        with self._lock:
            there = self._loaded.get(number)
            promise = there or Future[_Loaded]()
            self._loaded[number] = promise
            self._loaded.move_to_end(number)
        if there is None:
            try:
                promise.set_result(self._read(number))
            except BaseException as error:
                with self._lock:
                    self._loaded.pop(number, None)
                promise.set_exception(error)
            else:
                self._forget()
        return promise.result()

    def _forget(self) -> None:
        """What was not used for the longest time, while there is more than may be held; the last one stays."""
        if self.fits:
            return
        with self._lock:
            done = {number: each.result() for number, each in self._loaded.items() if each.done()}
            held = sum(group.encoded.nbytes + group.paths.nbytes for group in done.values())
            for number, group in list(done.items())[:-1]:
                if held <= self.memory:
                    break
                del self._loaded[number]
                held -= group.encoded.nbytes + group.paths.nbytes

    def _read(self, number: int) -> _Loaded:
        group = self._groups[number]
        rows = self._inside(group.first, int(self._ends[number]))
        with reading(group.file), pq.ParquetFile(group.file, page_checksum_verification=True) as file:
            images = _column(file, group, self.image_column)
            inside = pa.array(rows - group.first)
            encoded = _field(images, "bytes", pa.large_binary()).take(inside)
            return _Loaded(rows, encoded, _field(images, "path", pa.large_string()).take(inside))


@dataclass(frozen=True)
class RowGroupSet(ImageSet):
    """Encoded images of Parquet files, or files that rows name. ``rows``: their places among all rows.

    A path counts for an image without bytes, from its row's file or from ``root``, and leads nowhere outside of these
    folders.
    """

    rows: Rows
    groups: RowGroups
    root: Path

    def take(self, rows: Rows) -> RowGroupSet:
        """The images at these rows; they share what is in memory."""
        return RowGroupSet(self.labels[rows], self.rows[rows], self.groups, self.root)

    def shuffled(self, random: np.random.Generator, batch_size: int) -> Rows:
        """See `ImageSet`: within windows where not all row groups are in memory."""
        if self.groups.fits:
            return super().shuffled(random, batch_size)
        at_once = self.groups.rows_at_once
        return windowed_order(self.groups.group_of(self.rows), random, batch_size, at_once)

    def where(self, index: int) -> str:
        """The file's path and the row in it."""
        path, row = self.groups.place(int(self.rows[index]))
        return f"{path} row {row}"

    def contents(self) -> Iterator[bytes]:
        """The encoded images; nothing for those in files."""
        return (self.groups.at(int(row))[0] or b"" for row in self.rows)

    def _place(self, index: int) -> str:
        path, row = self.groups.place(int(self.rows[index]))
        return f"{path.name} {row}"

    def _stored(self, index: int) -> bytes:
        row = int(self.rows[index])
        encoded, path = self.groups.at(row)
        if encoded or not path:
            return encoded or b""
        bases = [Path(os.path.realpath(folder)) for folder in (self.groups.place(row)[0].parent, self.root)]
        for base in bases:
            file = Path(os.path.realpath(base / path))
            if file.is_relative_to(base) and file.is_file():
                return file.read_bytes()
        raise ValueError(f"it has no bytes, and its path {path!r} is no file in {bases[0]}")

    def _open(self, index: int) -> Image.Image:
        return open_image(io.BytesIO(self._stored(index)))


@contextlib.contextmanager
def reading(file: Path) -> Iterator[None]:
    """What Arrow raises for a damaged file as an `UnskipError` that names it."""
    try:
        yield
    except UnskipError:
        raise
    # Damage shows as any of these, in Arrow's decoders as in Python's.
    except (OSError, ValueError, LookupError, MemoryError, OverflowError, pa.ArrowException) as error:
        raise UnskipError(
            f"cannot read the Parquet file {file}: {first_line(error)}; it is damaged or no Parquet file"
        ) from error


def _column(file: pq.ParquetFile, group: _Group, column: str) -> pa.ChunkedArray:
    # What metadata say of single columns would tell more, but asking for it ends the process where they are damaged.
    size, packed = file.metadata.row_group(group.number).total_byte_size, group.file.stat().st_size
    if size > max(_ALLOWED, _GROWTH * packed):
        raise UnskipError(
            f"{group.file} has {packed:,} bytes and says that they become {size:,}: no encoded images do; "
            f"it is damaged, or made to fill the memory"
        )
    return file.read_row_group(group.number, columns=[column])[column]


def _field(images: pa.ChunkedArray, name: str, kind: pa.DataType) -> pa.Array:
    """A field of all images; nulls where they have none. Columns that are no structs are their own ``bytes``."""
    struct = pa.types.is_struct(images.type)
    if (struct and images.type.get_field_index(name) < 0) or (not struct and name != "bytes"):
        return pa.nulls(len(images), kind)
    chunks = [pc.struct_field(chunk, name) if struct else chunk for chunk in images.chunks]
    return pa.concat_arrays([chunk.cast(kind) for chunk in chunks]) if chunks else pa.array([], kind)
