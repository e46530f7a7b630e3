"""From a recipe's data section, or a command line's ``--data``, to labelled training and test images."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unskip.data.cifar import CIFAR_FOLDERS, cifar
from unskip.data.folders import holds_class_folders, image_folder
from unskip.data.image_set import ArraySet, Listing, Part
from unskip.data.parquet import parquet_files, parquet_folder
from unskip.data.scan import loose_images
from unskip.data.subsets import held_out
from unskip.data.unlabelled import unlabelled_folder
from unskip.errors import UnskipError
from unskip.images import shown
from unskip.recipe import DataRecipe

_NUM_CLASSES = {"cifar10": 10, "cifar100": 100}


@dataclass(frozen=True)
class Source:
    """Every image that a source has, labels known, images not read yet; without classes where nobody asked for them."""

    name: str
    classes: tuple[str, ...]
    train: Listing
    test: Listing


def recipe_for(argument: str) -> DataRecipe:
    """What ``--data ARGUMENT`` means: a source by its name, or a folder whose layout is recognised."""
    if argument == "digits" or argument in CIFAR_FOLDERS:
        return DataRecipe.model_validate({"name": argument})
    path = _path(argument, "`data`")
    if not path.is_dir():
        raise UnskipError(f"`data` {argument}: neither digits, cifar10 or cifar100, nor a folder")
    if parquet_files(path):
        return DataRecipe(name="parquet", path=str(path))
    for name, folder in CIFAR_FOLDERS.items():
        if (path / folder).is_dir() or path.name == folder:
            root = path.parent if path.name == folder else path
            return DataRecipe.model_validate({"name": name, "path": str(root)})
    if holds_class_folders(path):
        return DataRecipe(name="image_folder", path=str(path))
    if loose_images(path):
        return DataRecipe(name="images", path=str(path))
    raise UnskipError(
        f"`data` {argument}: there are no images in this folder; looked for train-*.parquet, train/*.parquet, "
        f"{', '.join(f'{folder}/' for folder in CIFAR_FOLDERS.values())}, train/CLASS/IMAGE, CLASS/IMAGE and IMAGE"
    )


def data_section(argument: str) -> dict[str, Any]:
    """The fields of a recipe's data section that ``--data ARGUMENT`` sets."""
    return recipe_for(argument).model_dump(mode="json", include={"name", "path"})


def read_source(recipe: DataRecipe, *, labelled: bool = True) -> Source:
    """List the images that a recipe names; subsets are not applied yet.

    A source without a test split of its own gives ``test_fraction`` of every class, or of all images where they have no
    classes. Images that are not ``labelled`` may lie in any folders. `UnskipError` when it cannot be used.
    """
    path = None if recipe.name == "digits" else _folder(recipe)
    classes, train, test = _listed(recipe, path, labelled)
    place = path or recipe.name
    if labelled and len(classes) < 2:
        found = f"only one class, {classes[0]!r}" if classes else "no classes"
        raise UnskipError(
            f"{place} has {found}; a classifier needs two or more, in folders CLASS/IMAGE; `task: matching` learns "
            "from images without classes"
        )
    own = path is not None and recipe.name not in CIFAR_FOLDERS
    name = os.path.basename(os.path.abspath(place)) if own else recipe.name  # of a link its own
    if recipe.classes is not None:
        if recipe.classes > len(classes):
            raise UnskipError(f"data.classes: {recipe.classes}, but {place} has {len(classes)}; give fewer or none")
        name, classes = f"{name}, the first {recipe.classes} classes", classes[: recipe.classes]
        train = _of_first_classes(train, recipe.classes)
        test = None if test is None else _of_first_classes(test, recipe.classes)
    counts = np.bincount(train.labels, minlength=len(classes))
    fewest = f"class {classes[counts.argmin()]!r}" if classes else "all in all"
    if test is None:
        if counts.min() < 2:
            raise UnskipError(
                f"{place}: {fewest} has {counts.min()} image(s), but holding test images out needs two or more; add "
                "images, or a test split"
            )
        kept, given = held_out(train.labels, recipe.test_fraction, recipe.seed)
        train, test = Part(train, kept), Part(train, given)
    elif counts.min() == 0:
        raise UnskipError(f"{place}: {fewest} has no training images")
    elif len(test.labels) == 0:
        raise UnskipError(f"{place} has a test split without images")
    return Source(name, classes if labelled else (), train, test)


def _listed(recipe: DataRecipe, path: Path | None, labelled: bool) -> tuple[tuple[str, ...], Listing, Listing | None]:
    if recipe.name == "digits" or path is None:
        return _digits()
    if recipe.name == "images" or (recipe.name == "image_folder" and not labelled):
        return (), *unlabelled_folder(path)
    if recipe.name == "image_folder":
        return image_folder(path)
    if recipe.name == "parquet":
        return parquet_folder(path, recipe.image_column, recipe.label_column, recipe.window_gib * 2**30)
    if (path / CIFAR_FOLDERS[recipe.name]).is_dir() or not parquet_files(path):
        return cifar(recipe.name, path)
    listed = parquet_folder(path, recipe.image_column, recipe.label_column, recipe.window_gib * 2**30)
    if len(listed[0]) != _NUM_CLASSES[recipe.name]:
        raise UnskipError(f"{path} has {len(listed[0])} classes, so it is not {recipe.name}; set data.name: parquet")
    return listed


def _of_first_classes(listing: Listing, count: int) -> Part:
    return Part(listing, np.flatnonzero(listing.labels < count))


def _folder(recipe: DataRecipe) -> Path:
    if recipe.path is None:
        if recipe.name not in CIFAR_FOLDERS:
            raise UnskipError(f"data.name: {recipe.name} needs data.path, the folder that holds the images")
        return recipe.folder
    path = _path(str(recipe.folder), "data.path")
    if path.exists() and not path.is_dir():
        raise UnskipError(f"data.path: {path} is a file; give the folder that holds the data")
    if not path.exists() and recipe.name not in CIFAR_FOLDERS:
        raise UnskipError(f"data.path: {path} does not exist")
    return path


def _path(text: str, key: str) -> Path:
    try:
        path = Path(text).expanduser()
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # no such user, a name too long, a null byte
        raise UnskipError(f"{key}: {shown(text)} cannot be a folder: {error}") from error
    return path


def _digits() -> tuple[tuple[str, ...], ArraySet, None]:
    """1,797 handwritten digits, 8x8, their 17 grey levels spread over 0..255; digits.txt says where they come from.

    They lie here because importing scikit-learn for them takes as long as importing half of PyTorch.
    """
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as digits:
        images, labels = digits["images"], digits["labels"]
    pixels = np.rint(images * (255 / 16)).astype(np.uint8)
    return tuple(map(str, range(10))), ArraySet(labels.astype(np.int64), "digits", pixels), None
