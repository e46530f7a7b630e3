import functools
import hashlib
import http.server
import os
import pickle
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest

from unskip.data.cifar import cifar
from unskip.data.sources import recipe_for
from unskip.errors import UnskipError
from unskip.torchvision_compat import datasets

SETS = {"cifar10": (datasets.CIFAR10, "labels", 10), "cifar100": (datasets.CIFAR100, "fine_labels", 100)}


@pytest.fixture(params=SETS)
def copy(request, tmp_path, monkeypatch):
    """A copy in torchvision's layout with a few images a file, whose MD5 sums torchvision is told."""
    dataset, key, num_classes = SETS[request.param]
    folder = tmp_path / dataset.base_folder
    folder.mkdir()

    def write(name, content):
        data = pickle.dumps(content)
        (folder / name).write_bytes(data)
        return hashlib.md5(data).hexdigest()

    def batch(seed):
        random = np.random.default_rng(seed)
        pixels = random.integers(0, 256, (num_classes, 3072), dtype=np.uint8)
        return {"data": pixels, key: list(range(num_classes))}

    for split in ("train_list", "test_list"):
        files = [[name, write(name, batch(place))] for place, (name, _) in enumerate(getattr(dataset, split))]
        monkeypatch.setattr(dataset, split, files)
    meta = {dataset.meta["key"]: [f"class {number}" for number in range(num_classes)]}
    md5 = write(dataset.meta["filename"], meta)
    monkeypatch.setattr(dataset, "meta", {**dataset.meta, "md5": md5})
    return request.param, tmp_path, folder, batch(0)["data"][0].reshape(3, 32, 32)


def test_reads_torchvisions_copy(copy):
    name, path, _, first = copy
    classes, train, test = cifar(name, path)
    num_classes = SETS[name][2]
    assert classes == tuple(f"class {number}" for number in range(num_classes))
    assert len(train) == num_classes * len(SETS[name][0].train_list)
    assert test.labels.tolist() == list(range(num_classes))
    assert np.array_equal(np.asarray(train.image(0)).transpose(2, 0, 1), first)


def test_changed_files_are_refused_before_any_is_unpickled(copy):
    name, path, folder, _ = copy

    class Trap:
        def __reduce__(self):
            return (folder.joinpath("opened").write_text, ("the pickle was run",))

    for file in folder.iterdir():
        content = file.read_bytes()
        file.write_bytes(pickle.dumps(Trap()))
        with pytest.raises(UnskipError, match=r"MD5 sums differ; remove the folder"):
            cifar(name, path)
        assert not (folder / "opened").exists(), file
        file.write_bytes(content)


@pytest.mark.parametrize("change", [Path.unlink, lambda file: file.write_bytes(file.read_bytes()[:-5]), "pipe"])
def test_a_copy_with_a_part_missing_is_refused(copy, change):
    name, path, folder, _ = copy
    for file in list(folder.iterdir()):
        content = file.read_bytes()
        if change == "pipe":
            file.unlink()
            os.mkfifo(file)
        else:
            change(file)
        with pytest.raises(UnskipError, match=r"is not torchvision's copy of .*: files are missing"):
            cifar(name, path)
        file.unlink(missing_ok=True)
        file.write_bytes(content)


def test_an_archive_with_another_sum_is_not_unpacked(tmp_path, monkeypatch):
    archive = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(__file__, "../outside")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(datasets.CIFAR10, "url", f"http://127.0.0.1:{server.server_port}/{archive.name}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with pytest.raises(UnskipError, match=r"could not download cifar10 from http://127.*corrupted"):
            cifar("cifar10", tmp_path / "new")
        server.shutdown()
    assert not (tmp_path / "outside").exists()


def test_the_copy_is_recognised(copy):
    name, path, folder, _ = copy
    assert (recipe_for(str(path)).name, recipe_for(str(path)).path) == (name, str(path))
    assert recipe_for(str(folder)).path == str(path)


def test_a_failed_download_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")  # nobody listens there
    for variable in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(UnskipError, match=r"could not download cifar10 from http://127.*set data.path to a folder"):
        cifar("cifar10", tmp_path / "new")
