import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unskip.data.parquet import parquet_folder
from unskip.data.parquet_files import parquet_files
from unskip.errors import UnskipError

from .small_sets import encoded, picture, write_parquet


def written(root, **tables) -> None:
    """Files by their path without ending."""
    for name, columns in tables.items():
        path = root / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), path)


def images(count: int, seed: int = 0) -> list[dict[str, bytes | None]]:
    return [{"bytes": encoded(picture(seed + index)), "path": None} for index in range(count)]


def names(path) -> dict[str, list[str]]:
    return {split: [str(file.relative_to(path)) for file in files] for split, files in parquet_files(path).items()}


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("default/train/0000", "default/test/0000"),
        ("train/0000", "validation/0000"),
        ("plain_text/train-00000-of-00001", "plain_text/test-00000-of-00001"),
        ("data/train-00000-of-00001-a0b1c2d3", "data/valid-00000-of-00001-ffff"),
        ("train", "val"),
        ("Training", "TEST"),
        ("data/train/part", "data/test/part"),
    ],
)
def test_the_layouts_of_the_hub_and_of_its_converter(tmp_path, train, test):
    write_parquet(tmp_path / f"{train}.parquet", [1, 0, 1])
    write_parquet(tmp_path / f"{test}.parquet", [0, 1], seed=50)
    _, trained, tested = parquet_folder(tmp_path, None, None)
    assert (trained.labels.tolist(), tested.labels.tolist()) == ([1, 0, 1], [0, 1])
    assert np.array_equal(tested.take(np.array([1])).image(0), picture(51))


def test_shards_of_the_converter_are_joined_in_order(tmp_path):
    for number in range(3):
        write_parquet(tmp_path / "default" / "train" / f"000{number}.parquet", [number])
    assert parquet_folder(tmp_path, None, None)[1].labels.tolist() == [0, 1, 2]
    (tmp_path / "default" / "train" / "0001.parquet").unlink()
    with pytest.raises(UnskipError, match=r"has 0002.parquet, but not number 1; fetch it again"):
        parquet_files(tmp_path)


def test_several_configurations_are_named(tmp_path):
    for name in ("small", "full"):
        write_parquet(tmp_path / name / "train" / "0000.parquet", [0, 1])
    with pytest.raises(UnskipError, match=r"several configurations: full, small; set data.path to one of them"):
        parquet_files(tmp_path)
    assert names(tmp_path / "small") == {"train": ["train/0000.parquet"]}


def test_files_in_the_folder_itself_come_first(tmp_path):
    for name in ("train", "default/train/0000"):
        write_parquet(tmp_path / f"{name}.parquet", [0, 1])
    with pytest.warns(UserWarning, match="the Parquet files in the folders default are passed over"):
        assert names(tmp_path) == {"train": ["train.parquet"]}


def test_a_part_of_a_split_is_said_to_be_one(tmp_path):
    write_parquet(tmp_path / "default" / "partial-train" / "0000.parquet", [0, 1])
    with pytest.warns(UserWarning, match="partial-train holds a part of the images only"):
        assert names(tmp_path) == {"train": ["default/partial-train/0000.parquet"]}


@pytest.mark.parametrize(
    "names",
    [("train", "train/0000"), ("train/0000", "partial-train/0000"), ("train", "training"), ("train", "train/more")],
)
def test_a_split_that_stands_there_twice_is_refused(tmp_path, names):
    for name in names:
        write_parquet(tmp_path / f"{name}.parquet", [0, 1])
    with pytest.raises(UnskipError, match=r"has its train images more than once: .*; remove all but one"):
        parquet_files(tmp_path)


def test_files_that_name_no_split_are_counted(tmp_path):
    for name in ("train", "train_metadata", "extra-00000-of-00001"):
        write_parquet(tmp_path / f"{name}.parquet", [0, 1])
    os.mkfifo(tmp_path / "test.parquet")
    with pytest.warns(UserWarning, match="2 Parquet files name no split and are passed over: extra-00000-of-00001"):
        assert names(tmp_path) == {"train": ["train.parquet"]}


def test_both_test_and_validation(tmp_path):
    for name in ("train", "validation", "test"):
        write_parquet(tmp_path / f"{name}.parquet", [0, 1, 1][: 2 if name == "test" else 3])
    with pytest.warns(UserWarning, match="tests use the split test; passed over: validation"):
        assert len(parquet_folder(tmp_path, None, None)[2].labels) == 2


LABELS = {
    "strings": (pa.array(["dog", "cat", "dog"]), ("cat", "dog"), [1, 0, 1]),
    "large strings": (pa.array(["dog", "cat", "dog"], pa.large_string()), ("cat", "dog"), [1, 0, 1]),
    "categories": (pa.array(["dog", "cat", "dog"]).dictionary_encode(), ("cat", "dog"), [1, 0, 1]),
    "categories of numbers": (pa.array([7, 3, 7]).dictionary_encode(), ("3", "7"), [1, 0, 1]),
    "booleans": (pa.array([True, False, True]), ("False", "True"), [1, 0, 1]),
    "int8": (pa.array([7, 3, 7], pa.int8()), ("3", "7"), [1, 0, 1]),
    "uint64": (pa.array([7, 3, 7], pa.uint64()), ("3", "7"), [1, 0, 1]),
    "whole floats": (pa.array([7.0, 3.0, 7.0]), ("3", "7"), [1, 0, 1]),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_every_type(tmp_path, kind):
    column, classes, expected = LABELS[kind]
    written(tmp_path, train={"image": images(3), "label": column}, test={"image": images(2), "label": column[:2]})
    found, train, test = parquet_folder(tmp_path, None, None)
    assert (found, train.labels.tolist(), test.labels.tolist()) == (classes, expected, expected[:2])


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([0.5, 1.0]), "holds numbers that are no classes"),
        (pa.array([2**63, 1], pa.uint64()), "holds numbers that are no classes"),
        (pa.array([[0], [1, 2]]), r"no column of labels \(integers, strings, or booleans\); its columns are"),
        (pa.array([0, 1], pa.date32()), r"no column of labels"),
        (pa.array([None, None]), r"no column of labels"),
        (pa.array(["a", None]), "has 1 rows without a label"),
    ],
)
def test_labels_that_are_none(tmp_path, column, message):
    written(tmp_path, train={"image": images(2), "label": column})
    with pytest.raises(UnskipError, match=message):
        parquet_folder(tmp_path, None, None)


def test_text_that_is_not_utf8_is_damage(tmp_path):
    text = pa.Array.from_buffers(pa.string(), 2, pa.array([b"a", b"\xff"]).buffers())
    written(tmp_path, train={"image": images(2), "label": text})
    with pytest.raises(UnskipError, match=r"cannot read the Parquet file .*train.parquet: .*UTF8"):
        parquet_folder(tmp_path, None, None)


def test_a_string_beside_integers_is_no_label(tmp_path):
    columns = {"image": images(2), "breed": [4, 5], "file": ["a", "b"], "score": [0.5, 0.25], "small": [True, False]}
    written(tmp_path, train=columns)
    assert parquet_folder(tmp_path, None, None)[0] == ("4", "5")
    assert parquet_folder(tmp_path, None, "file")[0] == ("a", "b")


def test_the_column_that_has_class_names_is_the_label(tmp_path):
    write_parquet(tmp_path / "train.parquet", [0, 1], names=["a", "b"], columns=("img", "kind", "size"))
    assert parquet_folder(tmp_path, None, None)[0] == ("a", "b")


def test_many_columns_are_not_all_listed(tmp_path):
    written(tmp_path, train={f"pixel{number}": [0, 1] for number in range(784)})
    with pytest.raises(UnskipError, match=r"no column of images .*pixel11 \(int64\), \.\.\. \(784 in all\)$"):
        parquet_folder(tmp_path, None, None)


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_images_may_be_plain_bytes(tmp_path, kind):
    data = pa.array([encoded(picture(index)) for index in range(3)], kind)
    written(tmp_path, train={"picture": data, "label": [0, 1, 1]})
    assert np.array_equal(parquet_folder(tmp_path, None, None)[1].take(np.array([2, 0])).image(0), picture(2))


@pytest.mark.parametrize("inner", ["", "data/"])
def test_images_may_be_files_beside_the_parquet_file(tmp_path, inner):
    (tmp_path / "images").mkdir()
    picture(3).save(tmp_path / "images" / "3.png")
    written(tmp_path, **{f"{inner}train": {"image": [{"path": "images/3.png"}] * 2, "label": [0, 1]}})
    taken = parquet_folder(tmp_path, None, None)[1].take(np.arange(2))
    assert np.array_equal(taken.image(1), picture(3))
    assert taken.size(0) == (12, 12)


@pytest.mark.parametrize("path", ["../secret.png", "{}/secret.png", "link.png", "gone.png", "pipe.png", None])
def test_paths_lead_nowhere_outside(tmp_path, path):
    picture(3).save(tmp_path / "secret.png")
    folder = tmp_path / "set"
    folder.mkdir()
    os.symlink("../secret.png", folder / "link.png")
    os.mkfifo(folder / "pipe.png")
    entry = {"bytes": None, "path": path and path.format(tmp_path)}
    written(folder, train={"image": [entry, *images(1)], "label": [0, 1]})
    taken = parquet_folder(folder, None, None)[1].take(np.arange(2))
    for read in (taken.image, taken.size):
        with pytest.raises(UnskipError, match=r"cannot read the image .*train.parquet row 0: it"):
            read(0)


def test_files_must_agree_on_types_and_on_class_names(tmp_path):
    written(tmp_path / "types", train={"image": images(2), "label": [0, 1]}, test={"image": images(1), "label": ["a"]})
    with pytest.raises(UnskipError, match=r"labels in test.parquet are outside the 2 classes: a"):
        parquet_folder(tmp_path / "types", None, None)
    for number, column in enumerate(([0, 1], ["0", "1"])):
        written(tmp_path / "shards", **{f"train-0000{number}-of-00002": {"image": images(2), "label": column}})
    with pytest.raises(UnskipError, match=r"the column 'label' is not of one type in"):
        parquet_folder(tmp_path / "shards", None, None)
    for split, classes in {"train": ["a", "b"], "test": ["b", "a"]}.items():
        write_parquet(tmp_path / "names" / f"{split}.parquet", [0, 1], names=classes)
    with pytest.raises(UnskipError, match=r"test.parquet numbers the classes in another way .*b, a against a, b"):
        parquet_folder(tmp_path / "names", None, None)


def test_a_test_split_without_the_columns_is_named(tmp_path):
    written(tmp_path, train={"image": images(2), "label": [0, 1]}, test={"image": images(2), "kind": [0, 1]})
    with pytest.raises(UnskipError, match=r"'label' is no column of labels .* in .*test.parquet"):
        parquet_folder(tmp_path, None, None)


@pytest.mark.parametrize(
    "metadata", [b"{", b"\xff", b"[" * 100_000, b'{"info": {"features": {"label": {"names": "ab"}}}}']
)
def test_metadata_that_say_nothing_are_left_out(tmp_path, metadata):
    table = pa.table({"image": images(2), "label": [0, 1]}).replace_schema_metadata({b"huggingface": metadata})
    pq.write_table(table, tmp_path / "train.parquet")
    assert parquet_folder(tmp_path, None, None)[0] == ("0", "1")


def test_class_names_can_be_written(tmp_path):
    table = pa.table({"image": images(2), "label": [0, 1]})
    metadata = rb'{"info": {"features": {"label": {"names": ["\ud800", "b"]}}}}'
    pq.write_table(table.replace_schema_metadata({b"huggingface": metadata}), tmp_path / "train.parquet")
    assert parquet_folder(tmp_path, None, None)[0] == (r"\ud800", "b")


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("seed", range(12))
def test_damage_anywhere_is_read_right_or_named(tmp_path, split, seed):
    random = np.random.default_rng(seed)
    for place, name in enumerate(("train", "test")):
        write_parquet(tmp_path / f"{name}.parquet", [0, 1] * 3, seed=10 * place)
    path = tmp_path / f"{split}.parquet"
    data = bytearray(path.read_bytes())
    if seed % 3 == 0:
        data = data[: random.integers(len(data))]
    else:
        for place in random.integers(len(data) // 2 if seed % 3 == 1 else 0, len(data), 20):
            data[place] = random.integers(256)
    path.write_bytes(bytes(data))
    said = ""
    try:
        _, train, test = parquet_folder(tmp_path, None, None)
        for listing in (train, test):
            taken = listing.take(np.arange(len(listing.labels)))
            for index in range(len(taken)):
                taken.image(index)
    except UnskipError as error:
        said = str(error)
    assert not said or f"{split}.parquet" in said


def test_a_file_made_to_fill_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("unskip.data.row_groups._ALLOWED", 2**20)
    table = pa.table({"image": pa.array([bytes(2**20)] * 4, pa.binary()), "label": [0, 1, 0, 1]})
    pq.write_table(table, tmp_path / "train.parquet", compression="zstd", use_dictionary=False)
    with pytest.raises(UnskipError, match=r"says that they become 4,19.*: no encoded images do"):
        parquet_folder(tmp_path, None, None)[1].take(np.arange(4))
