"""A folder of images without classes."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from unskip.data.image_set import FileSet
from unskip.data.scan import Scan, loose_images, subfolders
from unskip.data.splits import TEST_SPLITS, split_named
from unskip.errors import UnskipError


def unlabelled_folder(path: Path) -> tuple[FileSet, FileSet | None]:
    """All images in a folder, any number of folders deep, labelled 0, and no test images.

    A folder that holds nothing but splits, one of training images and one of test images among them, has both.
    `UnskipError` where there are no images.
    """
    scan = Scan(path)
    train, test = _splits(path)
    sets = [_images(folder, scan) for folder in (train, test) if folder]
    scan.warn_of_others()
    return sets[0], sets[1] if test else None


def _splits(path: Path) -> tuple[Path, Path | None]:
    """The folders of training and of test images, or the whole folder and none."""
    folders = subfolders(path, path)
    splits = {split_named(folder.name): folder for folder in folders}
    test = next((name for name in TEST_SPLITS if name in splits), None)
    if len(splits) < len(folders) or None in splits or "train" not in splits or test is None or loose_images(path):
        return path, None
    for name in splits.keys() - {"train", test}:
        warnings.warn(f"{path}: tests use {splits[test].name}; {splits[name].name} is passed over", stacklevel=5)
    return splits["train"], splits[test]


def _images(folder: Path, scan: Scan) -> FileSet:
    files = scan.images(folder)
    if not files:
        raise UnskipError(f"{folder} has no images, and no folder in it has any")
    return FileSet(np.zeros(len(files), np.int64), folder, files)
