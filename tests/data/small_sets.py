"""Small image sets, written where a test wants them."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

Shape = tuple[int, int]


def picture(seed: int, size: Shape = (12, 12)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def encoded(image: Image.Image, format: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format)
    return buffer.getvalue()


def write_class_folders(root: Path, counts: dict[str, int], size: Shape = (12, 12), seed: int = 0) -> Path:
    for place, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for index in range(count):
            picture(1000 * seed + 100 * place + index, size).save(root / name / f"{index}.png")
    return root


def write_parquet(
    path: Path,
    labels: Sequence[int | None],
    *,
    names: Sequence[str] | None = None,
    columns: tuple[str, ...] = ("img", "label"),
    images: Sequence[bytes] | None = None,
    seed: int = 0,
    row_group_size: int = 3,
) -> None:
    """One file; the first column holds images, the others the labels."""
    images = images or [encoded(picture(seed + index)) for index in range(len(labels))]
    structs = [{"bytes": data, "path": None} for data in images]
    image_type = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    fields = [pa.field(columns[0], image_type), *(pa.field(name, pa.int64()) for name in columns[1:])]
    features = {columns[1]: {"names": list(names), "_type": "ClassLabel"}} if names else {}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})} if names else None
    table = pa.table(
        [pa.array(structs, image_type), *(pa.array(labels, pa.int64()) for _ in columns[1:])],
        schema=pa.schema(fields, metadata),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=row_group_size)
