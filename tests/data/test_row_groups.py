"""Parquet splits that are larger than the memory for them; those that are not: test_parquet.py."""

import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from unskip.data import load_data, recipe_for
from unskip.data.parquet import parquet_folder
from unskip.data.row_groups import RowGroups
from unskip.errors import UnskipError

from .small_sets import picture, write_parquet

LABELS = [index % 3 for index in range(60)]
WINDOW = 9000  # bytes: nine images of 12 pixels take some 4,500


@pytest.fixture
def folder(tmp_path):
    write_parquet(tmp_path / "train-00000-of-00002.parquet", LABELS[:31])
    write_parquet(tmp_path / "train-00001-of-00002.parquet", LABELS[31:], seed=31)
    write_parquet(tmp_path / "test-00000-of-00001.parquet", LABELS[:12], seed=100)
    return tmp_path


@pytest.fixture
def read_groups(monkeypatch):
    """The row groups that were read, in order."""
    read, real = [], RowGroups._read

    def noted(self, number):
        read.append(number)
        return real(self, number)

    monkeypatch.setattr(RowGroups, "_read", noted)
    return read


def training(folder, rows=None, window=WINDOW):
    train = parquet_folder(folder, None, None, window)[1]
    return train.take(np.arange(60) if rows is None else np.array(rows))


def held(images) -> int:
    return sum(each.result().encoded.nbytes for each in images.groups._loaded.values())


def test_nothing_is_read_before_it_is_needed_and_everything_where_it_fits(folder, read_groups):
    images = training(folder)
    assert not images.groups.fits
    assert not read_groups
    assert np.array_equal(images.image(40), picture(40))
    assert len(read_groups) == 1
    whole = training(folder, window=2**20)
    assert whole.groups.fits
    assert len(read_groups) == 1 + 21
    assert np.array_equal(whole.image(40), picture(40))
    assert len(read_groups) == 1 + 21


def test_some_rows_fit_where_all_do_not(folder):
    assert training(folder, [0, 1, 40]).groups.fits
    assert not training(folder, range(60)).groups.fits


def test_rows_in_any_order_and_parts_of_parts(folder):
    rows = [59, 2, 30, 31, 2, *range(60)]
    images = training(folder, rows)
    assert not images.groups.fits
    assert images.labels.tolist() == [LABELS[row] for row in rows]
    assert all(np.array_equal(images.image(place), picture(row)) for place, row in enumerate(rows))
    part = images.take(np.array([3, 0]))
    assert np.array_equal(part.image(0), picture(31))
    assert part.where(1) == f"{folder / 'train-00001-of-00002.parquet'} row 28"
    assert part.stamp(1) == training(folder, window=2**20).stamp(59)


def test_no_more_than_the_window_is_held(folder):
    images = training(folder)
    for epoch in range(2):
        for row in images.shuffled(np.random.default_rng(epoch), 4):
            images.image(int(row))
            assert held(images) <= WINDOW


def test_one_row_group_is_held_even_where_the_window_is_smaller(folder, read_groups):
    images = training(folder, window=1)
    for row in range(60):
        assert np.array_equal(images.image(row), picture(row))
    assert read_groups == list(range(21))


def test_an_epoch_reads_its_row_groups_about_once(folder, read_groups):
    images = training(folder)
    for row in images.shuffled(np.random.default_rng(0), 4):
        images.image(int(row))
    assert len(read_groups) <= 25  # of 21, some at the ends of two windows
    read_groups.clear()
    for row in np.random.default_rng(0).permutation(60):
        images.image(int(row))
    assert len(read_groups) > 40


def test_threads_that_need_a_row_group_at_once_read_it_once(folder, read_groups):
    images = training(folder)
    together = threading.Barrier(8)
    right = []

    def look(row):
        together.wait()
        right.append(np.array_equal(images.image(row), picture(row)))

    threads = [threading.Thread(target=look, args=(row % 3,)) for row in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 8
    assert read_groups == [0]


def test_damage_shows_when_it_is_read_and_again_when_it_is_asked_for_again(folder):
    path = folder / "train-00001-of-00002.parquet"
    start = pq.ParquetFile(path).metadata.row_group(4).column(0).data_page_offset
    contents = bytearray(path.read_bytes())
    contents[start : start + 40] = bytes(40)
    images = training(folder)
    path.write_bytes(contents)
    assert np.array_equal(images.image(31), picture(31))
    for _ in range(2):
        with pytest.raises(UnskipError, match=r"cannot read the Parquet file .*00001-of-00002.parquet"):
            images.image(31 + 12)


def test_a_file_that_lost_rows_is_noticed(folder):
    train = parquet_folder(folder, None, None, WINDOW)[1]
    write_parquet(folder / "train-00001-of-00002.parquet", LABELS[31:40], seed=31)
    with pytest.raises(UnskipError, match="changed while they were read: 40 of 60 rows"):
        train.take(np.arange(60))


class TestData:
    @pytest.fixture
    def recipe(self, folder):
        return recipe_for(str(folder)).model_copy(
            update={"image_size": 80, "window_gib": WINDOW / 2**30, "keep_decoded": False}
        )

    def batches(self, recipe, epoch=1, start=0, **options):
        return list(load_data(recipe, device="cpu").train_batches(8, 3, **options).epoch(epoch, start))

    def test_batches_go_on_at_any_step_whatever_the_number_of_threads(self, recipe):
        whole = self.batches(recipe)
        assert len(whole) == 7
        for start, workers in ((3, 0), (5, 4)):
            rest = self.batches(recipe.model_copy(update={"workers": workers}), start=start)
            assert all(
                torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(whole[start:], rest, strict=True)
            )

    def test_processes_together_see_what_one_sees(self, recipe):
        shares = [self.batches(recipe, rank=rank, world_size=4) for rank in range(4)]
        for (images, labels), *parts in zip(self.batches(recipe), *shares, strict=True):
            assert torch.equal(images, torch.cat([part[0] for part in parts]))
            assert torch.equal(labels, torch.cat([part[1] for part in parts]))

    def test_each_process_reads_its_own_part(self, recipe, read_groups):
        for rank in range(2):
            self.batches(recipe, rank=rank, world_size=2)
        assert len(read_groups) <= 30  # not twice 21

    def test_the_fingerprint_is_that_of_images_in_memory(self, recipe):
        whole = recipe.model_copy(update={"window_gib": 1.0})
        assert load_data(recipe, device="cpu").fingerprint == load_data(whole, device="cpu").fingerprint

    def test_tests_see_the_same(self, recipe):
        streamed, whole = (
            load_data(each, device="cpu") for each in (recipe, recipe.model_copy(update={"window_gib": 1.0}))
        )
        assert torch.equal(streamed.test_images(7), whole.test_images(7))
        assert torch.equal(streamed.train_images(20, 1), whole.train_images(20, 1))
        for a, b in zip(streamed.test_batches(5).epoch(0), whole.test_batches(5).epoch(0), strict=True):
            assert torch.equal(a[0], b[0])
        parts = (each.with_training_share(0.5) for each in (streamed, whole))
        assert len({part.fingerprint for part in parts}) == 1

    def test_small_images_are_decoded_all_the_same(self, recipe):
        small = recipe.model_copy(update={"image_size": None})
        data = load_data(small, device="cpu")
        assert data.image_shape == (3, 12, 12)
        whole = load_data(small.model_copy(update={"window_gib": 1.0}), device="cpu")
        assert data.fingerprint == whole.fingerprint


def test_images_whose_rows_name_files(folder):
    table = pq.read_table(folder / "train-00000-of-00002.parquet")
    (folder / "pictures").mkdir()
    structs = []
    for row, image in enumerate(table["img"].to_pylist()):
        (folder / "pictures" / f"{row}.png").write_bytes(image["bytes"])
        structs.append({"bytes": None, "path": f"pictures/{row}.png"})
    named = table.set_column(0, table.schema.field(0), pa.array(structs, table.schema.field(0).type))
    pq.write_table(named, folder / "train-00000-of-00002.parquet", row_group_size=3)
    images = training(folder, window=1)
    assert all(np.array_equal(images.image(row), picture(row)) for row in (0, 30, 31))
