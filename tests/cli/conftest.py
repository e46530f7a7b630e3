"""A folder in which a run has ended, and images in files."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from cli.commands import unskip, write_recipe


@pytest.fixture
def recipe(tmp_path):
    return write_recipe(tmp_path / "small.yaml")


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """A folder in which a small recipe has run."""
    folder = tmp_path_factory.mktemp("home")
    ended = unskip("run", write_recipe(folder / "small.yaml"), at=folder)
    assert ended.code == 0, ended.err
    (folder / "said.txt").write_text(ended.out)
    return folder


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """Digits as files: ``split/`` with train and test folders, ``plain/`` with class folders, ``parquet/``."""
    folder = tmp_path_factory.mktemp("images")
    digits = load_digits(n_class=3)
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    rows = {"train": [], "test": []}
    names = ("zero", "one", "two")
    for index, (image, label) in enumerate(zip(pixels[:90], digits.target[:90], strict=True)):
        split, ending = "test" if index % 5 == 0 else "train", ("png", "jpg", "jpeg")[index % 3]
        for place in (folder / "split" / split, folder / "plain"):
            file = place / names[label] / f"{index}.{ending}"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).convert("RGB").save(file)
        rows[split].append({"image": {"bytes": file.read_bytes(), "path": None}, "label": int(label)})
    (folder / "parquet").mkdir()
    for split, found in rows.items():
        pq.write_table(pa.Table.from_pylist(found), folder / "parquet" / f"{split}-00000-of-00001.parquet")
    return folder
