"""Trained networks and deployed files on disk: their images, their task, and how well they do it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from unskip.data import Data, Normalization, Progress, data_section, load_data
from unskip.data_info import DataInfo
from unskip.errors import UnskipError
from unskip.evaluation import evaluate, evaluate_file
from unskip.recipe import load_recipe, recipe_from
from unskip.run_folder import RunFolder, net_file
from unskip.runtimes import ending_of, read_metadata
from unskip.tasks import Classification, Score, Task, make_task
from unskip.weights import load_net

_OF_ONE_SOURCE = {"limit", "fraction", "test_limit", "image_column", "label_column"}  # says nothing about other images


@dataclass(frozen=True)
class TestPasses:
    """Test images and labels in batches, as often as they are asked for."""

    data: Data

    __test__ = False  # pytest need not collect it

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.data.test_batches().epoch(0)


def evaluate_target(
    target: Path,
    data: str | None,
    settings: Sequence[str],
    *,
    label: str | None = None,
    depth: str | None = None,
    progress: Progress = lambda what, done, of: None,
) -> Score:
    """How well a run's network, a network's file or a deployed file does its task.

    Of a run, ``label`` names the network, by default its best student; of a file with several depths, ``depth``. The
    test images are those of its run, or of ``data``; ``settings`` change fields of the recipe's data section.
    ``progress`` is told what is being done, with how many images, of how many.
    """
    file = net_file(target, label)
    if ending_of(file):
        facts = read_metadata(file)
        info = DataInfo.from_json(facts, file)
        normalized_inside = normalizes(file, facts)
        images, task = data_for(file, info, data, settings, progress), task_for(file, info)
        if normalized_inside:
            images, task = images.scaled(), task.scaled(images.mean, images.std)
        return evaluate_file(file, _told(images, progress), task, depth=depth)
    if depth is not None:
        raise UnskipError(f"`depth` is for deployed files of several depths; {file} holds one network")
    net, info = load_net(file)
    images = data_for(file, info, data, settings, progress)
    return evaluate(net, _told(images, progress), task_for(file, info))


def _told(data: Data, progress: Progress) -> Iterator[tuple[Tensor, Tensor]]:
    """The test images and labels in batches; how many are through is told when the next ones are asked for."""
    done = 0
    for images, labels in data.test_batches().epoch(0):
        progress("scoring test images", done, data.num_test)
        yield images, labels
        done += len(labels)


def normalizes(file: Path, facts: Mapping[str, str]) -> bool:
    """Whether a deployed file takes images scaled to 0..1, by its metadata; `UnskipError` where they are damaged."""
    where = facts.get("normalization", "outside")
    if where not in ("inside", "outside"):
        raise UnskipError(f"the metadata of {file} are damaged: normalization is {where!r}, not inside or outside")
    return where == "inside"


def task_for(file: Path, info: DataInfo) -> Task:
    """What the network in a file was trained for: its run's task, or outside of a run folder to tell its classes apart.

    Without labels that is to answer as the run's teacher does. Raises `UnskipError` where there is no such run.
    """
    run = run_of(file)
    if run is None and not info.classes:
        raise UnskipError(f"{file} was trained to answer as its run's teacher does, and lies in no run folder")
    task = make_task(**dict(load_recipe(run.recipe).task)) if run else Classification()
    if isinstance(task, Classification):
        return replace(task, num_classes=len(info.classes))
    assert run is not None
    return task.with_teacher(load_net(run.weights("teacher"))[0])


def data_for(
    file: Path, info: DataInfo, argument: str | None, settings: Sequence[str], progress: Progress | None = None
) -> Data:
    """Images as the network expects them: its size, its normalisation, its classes.

    They are those of the run in whose folder the network's ``file`` lies, read as the run read them, or those that
    ``argument`` names as ``--data`` does.
    """
    run = run_of(file)
    if argument is None and run is None:
        raise UnskipError(f"{file} lies in no run folder; say with `data` on which images")
    for setting in settings:
        if not setting.startswith("data."):
            raise UnskipError(f"{setting!r}: only the data can change here, such as `data.test_limit=1000`")
    recipe = load_recipe(run.recipe).data if run else None
    tree = recipe.model_dump(mode="json", exclude=_OF_ONE_SOURCE if argument else None) if recipe else {}
    tree |= data_section(argument) if argument else {}
    tree["image_size"] = list(info.image_shape[1:])
    section = recipe_from({"data": tree}, settings).data
    if section.size != info.image_shape[1:]:
        height, width = info.image_shape[1:]
        raise UnskipError(
            f"the network reads images of {height}x{width} pixels, so data.image_size cannot be {section.image_size}; "
            "leave it out, and images of other sizes are brought to that one"
        )
    if run is not None and recipe is not None and argument is None and section.path == recipe.path:
        section = run.located(section)
        if section.name in ("image_folder", "images", "parquet") and not section.folder.exists():
            raise UnskipError(
                f"the images of the run {run.path} are not in {section.path}; say with `data` where they are"
            )
    data = load_data(
        section,
        device="cpu",
        normalization=Normalization(info.mean, info.std),
        preprocessing=info.preprocessing,
        labelled=bool(info.classes),
        progress=progress,
        to_train=False,
    )
    if data.image_shape != info.image_shape:
        kinds = {1: "grey", 3: "RGB"}
        has, reads = (kinds.get(shape[0], f"{shape[0]}-channel") for shape in (data.image_shape, info.image_shape))
        raise UnskipError(
            f"the network reads {reads} images, and those of {data.name} are {has}; give others with `data`"
        )
    check_classes(data, info.classes, "the network")
    return data


def check_classes(data: Data, expected: Sequence[str], who: str) -> None:
    """Raise `UnskipError` where the classes of the data are not those that a network knows."""
    if data.classes != expected:
        there, here = (f"{len(names)} classes ({', '.join(names[:4])}, ..)" for names in (expected, data.classes))
        raise UnskipError(f"{who} knows {there}, the data has {here}")


def run_of(file: Path) -> RunFolder | None:
    """The run in whose folder a file lies."""
    folder = RunFolder(file.resolve().parent.parent)
    return folder if folder.recipe.is_file() else None
