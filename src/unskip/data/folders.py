"""Image folders: one folder per class, with or without folders of training and test images above them."""

from __future__ import annotations

import os
import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unskip.data.image_set import FileSet
from unskip.data.scan import Scan, few, loose_images, subfolders
from unskip.data.splits import TEST_SPLITS, Split, look_like_splits, split_named
from unskip.errors import UnskipError
from unskip.images import shown

_EXPECTED = "expected train/CLASS/IMAGE and test/CLASS/IMAGE, or CLASS/IMAGE"


def holds_class_folders(path: Path) -> bool:
    """Whether there are images in any folder in ``path``."""
    return any(Scan(path).holds_images(folder) for folder in subfolders(path, path))


def image_folder(path: Path) -> tuple[tuple[str, ...], FileSet, FileSet | None]:
    """Class names in alphabetical order, training images, and test images where there is a folder of them.

    Reads ``train/CLASS/...`` beside ``test/CLASS/...`` or ``val/CLASS/...``, in their usual spellings, or
    ``CLASS/...``; images may lie any number of folders deep. What is passed over is counted in a warning.
    `UnskipError` where it is not clear which folders are splits and which are classes.
    """
    layout = _layout(path)
    scan = Scan(path)
    loose = [image for folder in layout.above_classes for image in loose_images(folder)]
    train = _labelled(layout.train, layout.classes, scan)
    test = _labelled(layout.test, layout.test_classes, scan) if layout.test and layout.test_classes else None
    scan.warn_of_others()
    if loose:
        names = [shown(os.path.relpath(image, path)) for image in loose]
        warnings.warn(
            f"{path}: {len(names)} image(s) passed over, lying in no class folder: {few(names)}", stacklevel=3
        )
    return tuple(_names(list(layout.classes.values()))), train, test


@dataclass(frozen=True)
class _Layout:
    """Which folders hold what. ``classes``, ``test_classes``: folder by label."""

    root: Path
    train: Path
    classes: Mapping[int, Path]
    test: Path | None = None
    test_classes: Mapping[int, Path] | None = None

    @property
    def above_classes(self) -> list[Path]:
        """Folders that hold class folders; images directly in them have no class."""
        return list(dict.fromkeys(folder for folder in (self.root, self.train, self.test) if folder))


def _layout(path: Path) -> _Layout:
    scan = Scan(path)
    top = subfolders(path, path)
    holding = [folder for folder in top if scan.holds_images(folder)]
    if not holding:
        loose = loose_images(path)
        if not loose:
            raise UnskipError(f"{path} has no images: {_EXPECTED}")
        raise UnskipError(
            f"{path} has no class folders: {_EXPECTED}; its images lie directly in it "
            f"({few([image.name for image in loose])}); `task: matching` learns from images without classes"
        )
    splits = [folder for folder in holding if split_named(folder.name)]
    others = [folder for folder in holding if folder not in splits]
    with_classes = [folder for folder in splits if _class_folders(folder, scan)]
    if not with_classes and others:
        return _of_classes(path, top, scan)
    if not with_classes:
        raise UnskipError(f"the images in {few(list(map(shown, splits)))} lie in no class folders: {_EXPECTED}")
    return _of_splits(path, with_classes, [folder for folder in splits if folder not in with_classes], others, scan)


def _of_classes(path: Path, classes: Sequence[Path], scan: Scan) -> _Layout:
    """The layout without splits; `UnskipError` where there seem to be some after all."""
    similar = look_like_splits(_names(classes))
    if similar and (len(similar) == len(classes) or any(_class_folders(path / name, scan) for name in similar)):
        raise UnskipError(
            f"{path}: {few(similar)} look like splits of the images, not like classes; call them train and test, "
            f"with the class folders directly in them, or give other names to the classes"
        )
    if len(classes) == 1 and (inner := _class_folders(classes[0], scan)):
        raise UnskipError(
            f"{path} has only one folder, {classes[0].name}, and it holds {few([folder.name for folder in inner])}; "
            f"set data.path to {classes[0]} if the classes lie there"
        )
    for folder in classes:
        kinds = {split_named(inner.name): inner for inner in subfolders(folder, path)}
        if "train" in kinds and any(split in kinds for split in TEST_SPLITS):
            names = few([inner.name for kind, inner in kinds.items() if kind])
            raise UnskipError(
                f"{folder} holds splits ({names}) instead of images: expected train/CLASS/IMAGE and test/CLASS/IMAGE, "
                f"the splits above the classes"
            )
    return _Layout(path, path, dict(enumerate(_distinct(classes))))


def _of_splits(
    path: Path, splits: Sequence[Path], unlabelled: Sequence[Path], others: Sequence[Path], scan: Scan
) -> _Layout:
    """The layout with splits. ``unlabelled``: splits without class folders; ``others``: folders that are no splits."""
    train, *tests = (_only(path, splits, kind) for kind in ("train", *TEST_SPLITS))
    test = next((folder for folder in tests if folder), None)
    if train is None:
        beside = f" beside {few(_names(others))}" if others else ""
        raise UnskipError(
            f"{path} has {few(_names(splits))}{beside}, but no training images: put them into train/CLASS, or give "
            f"other names to the folders if they are classes"
        )
    classes = _distinct(_class_folders(train, scan, empty=True))
    if others and (test is None or {folder.name for folder in others} & {folder.name for folder in classes}):
        raise UnskipError(
            f"{path} mixes splits ({few(_names(splits))}) and other folders of images ({few(_names(others))}); "
            f"{_EXPECTED}: move the others, or rename the splits if they are classes"
        )
    passed_over = [*unlabelled, *others, *(folder for folder in tests if folder and folder != test)]
    if passed_over:
        counts = ", ".join(f"{folder.name} ({len(Scan(folder).images(folder))} image(s))" for folder in passed_over)
        used = f"tests use {test.name}" if test else "tests use held-out training images"
        warnings.warn(f"{path}: {used}; passed over: {counts}", stacklevel=4)
    if test is None:
        return _Layout(path, train, dict(enumerate(classes)))
    tested = _distinct(_class_folders(test, scan))
    return _Layout(path, train, dict(enumerate(classes)), test, _matched(train, classes, test, tested))


def _only(path: Path, splits: Sequence[Path], kind: Split | str) -> Path | None:
    """The one folder of a split; links to it do not count."""
    folders = {os.path.realpath(folder): folder for folder in reversed(splits) if split_named(folder.name) == kind}
    if len(folders) > 1:
        names = few(_names(sorted(folders.values())))
        raise UnskipError(
            f"{path} has more than one folder of {kind} images: {names}; join them, or remove all but one"
        )
    return next(iter(folders.values()), None)


def _matched(train: Path, classes: Sequence[Path], test: Path, tested: Sequence[Path]) -> dict[int, Path]:
    """The test folder of every class, by label; names may differ in case, spaces around them and Unicode form."""
    for key in (str, _plain):
        labels = {key(folder.name): label for label, folder in enumerate(classes)}
        by_label = {labels[name]: folder for folder in tested if (name := key(folder.name)) in labels}
        if len(labels) == len(classes) and len(by_label) == len(tested):
            break
    else:
        raise UnskipError(_mismatch(train, classes, test, tested))
    missing = [classes[label].name for label in range(len(classes)) if label not in by_label]
    if missing:
        warnings.warn(f"{test} has no images of {len(missing)} of {len(classes)} classes: {few(missing)}", stacklevel=5)
    return dict(sorted(by_label.items()))


def _mismatch(train: Path, classes: Sequence[Path], test: Path, tested: Sequence[Path]) -> str:
    names = {train: set(_names(classes)), test: set(_names(tested))}
    only = [
        f"only in {folder}: {few(sorted(names[folder] - names[other]), 5)}"
        for folder, other in ((train, test), (test, train))
        if names[folder] - names[other]
    ]
    return f"{train} and {test} must have the same class folders; {'; '.join(only)}"


def _class_folders(folder: Path, scan: Scan, *, empty: bool = False) -> list[Path]:
    """Folders with images directly in a folder, by name; with ``empty`` those without images too."""
    return [inner for inner in subfolders(folder, scan.root) if empty or scan.holds_images(inner)]


def _distinct(folders: Sequence[Path]) -> list[Path]:
    """The folders; `UnskipError` for names that cannot be written, or that are one to a reader."""
    seen: dict[str, Path] = {}
    for folder in folders:
        if shown(folder.name) != folder.name:
            raise UnskipError(f"the name of the class folder {shown(folder)} is not valid UTF-8; rename it")
        other = seen.setdefault(unicodedata.normalize("NFC", folder.name).strip(), folder)
        if other != folder:
            raise UnskipError(
                f"{folder.parent} has two class folders whose names look the same, {other.name!a} and {folder.name!a}; "
                f"join them, or rename one"
            )
    return list(folders)


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip().casefold()


def _labelled(folder: Path, classes: Mapping[int, Path], scan: Scan) -> FileSet:
    files: list[str] = []
    labels: list[int] = []
    for label, inner in classes.items():
        in_class = scan.images(inner)
        if not in_class:
            raise UnskipError(f"the class folder {inner} holds no images: add some, or remove the folder")
        files += (os.path.join(inner.name, file) for file in in_class)
        labels += [label] * len(in_class)
    return FileSet(np.array(labels, np.int64), folder, files)


def _names(folders: Sequence[Path]) -> list[str]:
    return [folder.name for folder in folders]
