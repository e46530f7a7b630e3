import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from unskip.data.parquet import parquet_folder
from unskip.errors import UnskipError

from .small_sets import picture, write_parquet

TRAIN, TEST = "train-00000-of-00001.parquet", "test-00000-of-00001.parquet"


@pytest.mark.parametrize("inner", ["", "data", "plain_text"])
def test_reads_the_hubs_layout(tmp_path, inner):
    write_parquet(tmp_path / inner / TRAIN, [1, 0, 1], names=["cat", "dog"])
    write_parquet(tmp_path / inner / TEST, [0, 1], names=["cat", "dog"], seed=50)
    classes, train, test = parquet_folder(tmp_path, None, None)
    assert classes == ("cat", "dog")
    assert (train.labels.tolist(), test.labels.tolist()) == ([1, 0, 1], [0, 1])
    assert np.array_equal(test.take(np.array([1])).image(0), picture(51))


def test_rows_come_in_the_order_asked_for_across_files_and_row_groups(tmp_path):
    write_parquet(tmp_path / "train-00000-of-00002.parquet", [0] * 7, seed=0)
    write_parquet(tmp_path / "train-00001-of-00002.parquet", [1] * 5, seed=7)
    _, train, _ = parquet_folder(tmp_path, None, None)
    rows = np.array([11, 2, 7, 0, 6, 2])
    images = train.take(rows)
    assert images.labels.tolist() == [1, 0, 1, 0, 0, 0]
    assert all(np.array_equal(images.image(place), picture(row)) for place, row in enumerate(rows.tolist()))
    assert images.where(0) == f"{tmp_path / 'train-00001-of-00002.parquet'} row 4"


def test_a_missing_shard_is_noticed(tmp_path):
    write_parquet(tmp_path / "train-00000-of-00003.parquet", [0, 1])
    with pytest.raises(UnskipError, match=r"says that there are 3 files, but .* has 1"):
        parquet_folder(tmp_path, None, None)


def test_without_names_the_labels_are_the_classes(tmp_path):
    write_parquet(tmp_path / TRAIN, [7, 3, 7])
    write_parquet(tmp_path / TEST, [3])
    classes, train, test = parquet_folder(tmp_path, None, None)
    assert (classes, train.labels.tolist(), test.labels.tolist()) == (("3", "7"), [1, 0, 1], [0])


def test_fine_labels_are_preferred_and_others_can_be_asked_for(tmp_path):
    write_parquet(tmp_path / TRAIN, [0, 1], names=["a", "b"], columns=("img", "fine_label", "coarse_label"))
    assert parquet_folder(tmp_path, None, None)[0] == ("a", "b")
    assert parquet_folder(tmp_path, None, "coarse_label")[0] == ("0", "1")


def test_an_ambiguous_label_lists_the_columns(tmp_path):
    write_parquet(tmp_path / TRAIN, [0, 1], columns=("img", "colour", "kind"))
    with pytest.raises(UnskipError, match=r"more than one column of labels.*label_column: colour \(int64\), kind"):
        parquet_folder(tmp_path, None, None)
    with pytest.raises(UnskipError, match=r"data.label_column: 'breed' is no column of labels"):
        parquet_folder(tmp_path, None, "breed")


def test_no_image_column(tmp_path):
    pq.write_table(pa.table({"label": [0, 1], "file": ["a.png", "b.png"]}), tmp_path / TRAIN)
    with pytest.raises(
        UnskipError, match=r"no column of images \(structs with `bytes`.*label \(int64\), file \(string\)"
    ):
        parquet_folder(tmp_path, None, None)


def test_labels_outside_the_classes(tmp_path):
    write_parquet(tmp_path / TRAIN, [0, 1, 2, 9], names=["a", "b"])
    with pytest.raises(UnskipError, match="outside the 2 classes: 2, 9"):
        parquet_folder(tmp_path, None, None)


def test_test_labels_unknown_in_training(tmp_path):
    write_parquet(tmp_path / TRAIN, [0, 1])
    write_parquet(tmp_path / TEST, [0, 4])
    with pytest.raises(UnskipError, match=f"labels in {TEST} are outside the 2 classes: 4"):
        parquet_folder(tmp_path, None, None)


def test_missing_labels(tmp_path):
    write_parquet(tmp_path / TRAIN, [0, None, 1])
    with pytest.raises(UnskipError, match="has 1 rows without a label"):
        parquet_folder(tmp_path, None, None)


def test_a_test_split_with_hidden_labels_is_passed_over(tmp_path):
    write_parquet(tmp_path / TRAIN, [0, 1], names=["a", "b"])
    write_parquet(tmp_path / TEST, [-1, -1], names=["a", "b"])
    write_parquet(tmp_path / "validation-00000-of-00001.parquet", [1, 0, 1], names=["a", "b"])
    with pytest.warns(UserWarning, match="tests use the split validation; passed over: test"):
        assert parquet_folder(tmp_path, None, None)[2].labels.tolist() == [1, 0, 1]


def test_an_image_without_bytes_is_named_by_its_row(tmp_path):
    write_parquet(tmp_path / TRAIN, [0, 1], images=[b"", b"\xff\xd8"])
    images = parquet_folder(tmp_path, None, None)[1].take(np.arange(2))
    with pytest.raises(UnskipError, match=f"{TRAIN} row 1"):
        images.image(1)


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / TRAIN).write_bytes(b"PAR1 and nothing else")
    with pytest.raises(UnskipError, match=f"cannot read the Parquet file .*{TRAIN}"):
        parquet_folder(tmp_path, None, None)


def test_no_files(tmp_path):
    with pytest.raises(UnskipError, match="no Parquet files of training images in"):
        parquet_folder(tmp_path, None, None)


def test_the_hubs_cifar10(real_data):
    classes, train, test = parquet_folder(real_data / "cifar10", None, None)
    assert classes[:3] == ("airplane", "automobile", "bird")
    assert (np.bincount(train.labels) == 5000).all()
    assert (np.bincount(test.labels) == 1000).all()
    image = train.take(np.array([49_999])).image(0)
    assert isinstance(image, Image.Image)
    assert image.size == (32, 32)
