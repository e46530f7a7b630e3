"""The first classes of an image set in Parquet files, as a set of its own.

    python benchmarks/first_classes.py TINY-IMAGENET-32 TINY-100 --classes 100

Writes every split's images with a label below the number, and the names of those classes, to the new folder.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pyarrow.compute
import pyarrow.parquet


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--label", default="label", help="name of the column of labels")
    arguments = parser.parse_args()
    files = sorted(arguments.source.rglob("*.parquet"))
    if not files:
        parser.error(f"no Parquet files below {arguments.source}")
    for file in files:
        table = pyarrow.parquet.read_table(file)
        table = table.filter(pyarrow.compute.less(table[arguments.label], arguments.classes))
        metadata = dict(table.schema.metadata or {})
        described = json.loads(metadata.get(b"huggingface", b"{}"))
        names = described.get("info", {}).get("features", {}).get(arguments.label, {}).get("names")
        if names is not None:
            described["info"]["features"][arguments.label]["names"] = names[: arguments.classes]
            metadata[b"huggingface"] = json.dumps(described).encode()
        target = arguments.target / file.relative_to(arguments.source)
        target.parent.mkdir(parents=True, exist_ok=True)
        pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), target)
        print(f"{target}: {table.num_rows} images")


if __name__ == "__main__":
    main()
