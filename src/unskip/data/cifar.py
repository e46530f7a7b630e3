"""CIFAR-10 and CIFAR-100 through torchvision: a local copy, or a download."""

from __future__ import annotations

import contextlib
import http.client
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from unskip.data.image_set import ArraySet
from unskip.errors import UnskipError, first_line

CIFAR_FOLDERS = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
_DOWNLOAD_TIMEOUT = 30.0  # seconds without an answer


def cifar(name: Literal["cifar10", "cifar100"], path: Path) -> tuple[tuple[str, ...], ArraySet, ArraySet]:
    """Class names, training and test images, from the copy in ``path`` or downloaded into it.

    The files are pickles; torchvision opens them only after the MD5 sums of all of them have been checked, and unpacks
    an archive only after its own.
    """
    from unskip.torchvision_compat import datasets

    dataset = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    copy = path / CIFAR_FOLDERS[name]
    if not copy.is_dir():
        _download(dataset, name, path)
    try:
        train, test = dataset(path, train=True), dataset(path, train=False)
    except (OSError, RuntimeError) as error:
        raise UnskipError(
            f"{copy} is not torchvision's copy of {name}: files are missing, or their MD5 sums differ; "
            f"remove the folder to have it downloaded again"
        ) from error
    return tuple(train.classes), _array_set(f"{name} train", train), _array_set(f"{name} test", test)


def _download(dataset: Any, name: str, path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        with _timeout(_DOWNLOAD_TIMEOUT):
            dataset(path, download=True)
    except (OSError, RuntimeError, EOFError, http.client.HTTPException, tarfile.TarError) as error:
        raise UnskipError(
            f"could not download {name} from {dataset.url} into {path}: {first_line(error)}; set data.path to a folder "
            f"that holds {CIFAR_FOLDERS[name]}/ or the Hugging Face hub's Parquet files"
        ) from error


@contextlib.contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _array_set(name: str, dataset: Any) -> ArraySet:
    return ArraySet(np.asarray(dataset.targets, np.int64), name, dataset.data)
