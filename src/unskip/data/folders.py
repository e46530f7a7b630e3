"""Image folders: one folder per class, with or without train/ and test/ above them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from unskip.data.image_set import FileSet
from unskip.errors import UnskipError

__all__ = ["class_folders", "image_folder"]

_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".gif", ".webp")
_TEST_NAMES = ("test", "val", "valid", "validation")


def image_folder(path: Path) -> tuple[tuple[str, ...], FileSet, FileSet | None]:
    """Class names in alphabetical order, training images, and test images where there is a folder of them.

    Reads ``train/CLASS/...`` beside ``test/CLASS/...`` (or val, valid, validation), or ``CLASS/...``; images
    may lie any number of folders deep.
    """
    train = path / "train"
    if not class_folders(train):
        classes = class_folders(path)
        if not classes:
            raise UnskipError(
                f"{path} has no class folders: expected train/CLASS/IMAGE and test/CLASS/IMAGE, or "
                f"CLASS/IMAGE; images end in {' '.join(_EXTENSIONS)}"
            )
        return classes, _labelled_files(path, classes), None
    classes = class_folders(train)
    for name in _TEST_NAMES:
        if found := class_folders(path / name):
            if found != classes:
                raise UnskipError(_mismatch(train, classes, path / name, found))
            return classes, _labelled_files(train, classes), _labelled_files(path / name, classes)
    return classes, _labelled_files(train, classes), None


def class_folders(path: Path) -> tuple[str, ...]:
    """Names of the folders directly in ``path``, in alphabetical order; none when no image is in any."""
    if not path.is_dir():
        return ()
    names = sorted(entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    return tuple(names) if any(_holds_image(path / name) for name in names) else ()


def _holds_image(folder: Path) -> bool:
    return any(_is_image(name) for _, _, names in os.walk(folder, followlinks=True) for name in names)


def _is_image(name: str) -> bool:
    return name.lower().endswith(_EXTENSIONS) and not name.startswith(".")


def _labelled_files(folder: Path, classes: tuple[str, ...]) -> FileSet:
    files: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(
            os.path.relpath(os.path.join(inner, file), folder)
            for inner, _, names in os.walk(folder / name, followlinks=True)
            for file in names
            if _is_image(file)
        )
        if not found:
            raise UnskipError(f"the class folder {folder / name} holds no images: add some, or remove the folder")
        files += found
        labels += [label] * len(found)
    return FileSet(np.array(labels, np.int64), folder, files)


def _mismatch(train: Path, trained: tuple[str, ...], test: Path, tested: tuple[str, ...]) -> str:
    only = [
        f"only in {folder}: {', '.join(sorted(names)[:5])}{', ...' if len(names) > 5 else ''}"
        for folder, names in ((train, set(trained) - set(tested)), (test, set(tested) - set(trained)))
        if names
    ]
    return f"{train} and {test} must have the same class folders; {'; '.join(only)}"
