"""Trained networks and deployed files on disk: evaluate and export them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from unskip.data import Data, Normalization, data_section, load_data
from unskip.data_info import DataInfo
from unskip.dataflow import forecast
from unskip.errors import UnskipError
from unskip.evaluation import evaluate, evaluate_file
from unskip.export import (
    CALIBRATION_IMAGES,
    FORMATS,
    Exported,
    Format,
    export_net,
    export_switchable,
    find_format,
    format_for,
)
from unskip.files import check_writable
from unskip.nets.within_memory import check_memory
from unskip.recipe import load_recipe, recipe_from
from unskip.run_folder import RunFolder, net_file
from unskip.runtimes import Configuration, Estimator, ending_of, read_metadata
from unskip.settings import nearest
from unskip.tasks import Classification, Score, Task, make_task
from unskip.weights import load_net

_OF_ONE_SOURCE = {"limit", "fraction", "test_limit", "image_column", "label_column"}  # says nothing about other images
_BATCH = 256


def evaluate_target(
    target: Path, data: str | None, settings: Sequence[str], *, label: str | None = None, depth: str | None = None
) -> Score:
    """How well a run's network, a network's file or a deployed file does its task.

    Of a run, ``label`` names the network, by default its best student; of a file with several depths, ``depth``. The
    test images are those of its run, or of ``data``; ``settings`` change fields of the recipe's data section.
    """
    file = net_file(target, label)
    if ending_of(file):
        facts = read_metadata(file)
        info = DataInfo.from_json(facts, file)
        where = facts.get("normalization", "outside")
        if where not in ("inside", "outside"):
            raise UnskipError(f"the metadata of {file} are damaged: normalization is {where!r}, not inside or outside")
        images, task = data_for(file, info, data, settings), task_for(file, info)
        if where == "inside":
            images, task = images.scaled(), task.scaled(images.mean, images.std)
        return evaluate_file(file, images.test_batches(_BATCH).epoch(0), task, depth=depth)
    if depth is not None:
        raise UnskipError(f"`depth` is for deployed files of several depths; {file} holds one network")
    net, info = load_net(file)
    images = data_for(file, info, data, settings)
    return evaluate(net, images.test_batches(_BATCH).epoch(0), task_for(file, info))


def task_for(file: Path, info: DataInfo) -> Task:
    """What the network in a file was trained for: its run's task, or outside of a run folder to tell its classes apart.

    Without labels that is to answer as the run's teacher does. Raises `UnskipError` where there is no such run.
    """
    run = _run_of(file)
    if run is None and not info.classes:
        raise UnskipError(f"{file} was trained to answer as its run's teacher does, and lies in no run folder")
    task = make_task(**dict(load_recipe(run.recipe).task)) if run else Classification()
    if isinstance(task, Classification):
        return replace(task, num_classes=len(info.classes))
    assert run is not None
    return task.with_teacher(load_net(run.weights("teacher"))[0])


@dataclass(frozen=True)
class _OnePass:
    """Test images and labels, as often as they are asked for."""

    data: Data

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.data.test_batches(_BATCH).epoch(0)


def export_target(
    target: Path,
    out: str | Path | None,
    formats: Sequence[str] = (),
    *,
    data: str | None = None,
    settings: Sequence[str] = (),
    label: str | None = None,
    batch_size: int | None = None,
    normalization: Literal["inside", "outside"] = "inside",
    backend: str | None = None,
    int8: bool = False,
    calibration: int | None = None,
    max_drop: float | None = None,
    tolerance: float | None = None,
    images: int = 256,
    switchable: bool = False,
    device: Configuration | None = None,
) -> Iterator[Exported]:
    """Export a run's network or a network's file to every one of ``formats``, each file as soon as it is kept.

    ``out`` is a file, whose ending names the format, or a folder, by default the working directory; in a folder the
    file is called as the network is. What ends in no format's ending, or with a slash, is a folder. The files are
    checked on ``images`` test images of the network's run, or of ``data``, and all test images tell how well they do
    their task: answers may differ by ``tolerance`` (1e-3); with ``int8``, the figure that decides may be lower by
    ``max_drop`` (0.05), and ``calibration`` training images (256) decide the ranges. ``switchable`` puts all networks
    that came out of the training of ``label`` into one file. Files for a ``device`` compute in 8 bits always.
    """
    if switchable and int8:
        raise UnskipError("a file of several depths is written in float32; export each depth by itself with `int8`")
    if int8 and tolerance is not None:
        raise UnskipError("`tolerance` compares logits of float32; what `int8` may lose is said with `max_drop`")
    files = _depths(target, label) if switchable else {"": net_file(target, label)}
    file = next(iter(files.values()))
    name = file.stem.removesuffix("-full") + "-switchable" if switchable else file.stem
    places = _places(out, formats, f"{name}-int8" if int8 else name, device)
    in_8_bits = {path: int8 or not format_for(path).float32 for path in places}
    if not any(in_8_bits.values()) and (calibration is not None or max_drop is not None):
        raise UnskipError("`calibration` and `max_drop` belong to `int8`")
    nets = {depth: load_net(path)[0] for depth, path in files.items()}
    info = load_net(file)[1]
    if batch_size is not None:
        live = batch_size * forecast(next(iter(nets.values())), info.image_shape).peak_bytes
        check_memory(live, f"`batch_size` {batch_size}: the feature maps of so many images", "give fewer")
    seen = data_for(file, info, data, settings)
    run = _run_of(file)
    task = task_for(file, info) if info.classes or run else None  # without its teacher, the network itself is matched
    if normalization == "inside":
        seen, task = seen.scaled(), task and task.scaled(info.mean, info.std)
    recipe = load_recipe(run.recipe) if run else None
    facts = info.to_json() | {"label": name} | ({"recipe": recipe.digest()} if recipe else {})
    shown = seen.test_images(images)
    given: Any = {
        "metadata": facts,
        "normalization": (info.mean, info.std) if normalization == "inside" else None,
        "batch_size": batch_size,
        "backend": backend,
        "task": task,
        "test": _OnePass(seen),
    }
    seed, count = recipe.seed if recipe else 0, calibration or CALIBRATION_IMAGES
    integers: Any = {"calibration": seen.train_images(count, seed)} if any(in_8_bits.values()) else {}
    if max_drop is not None:
        integers["max_drop"] = max_drop
    if tolerance is not None:
        given["tolerance"] = tolerance
    for path in places:
        if switchable:
            yield from export_switchable(nets, path, shown, **given)
            continue
        compiled: Any = {"device": device} if isinstance(format_for(path).runtime, Estimator) else {}
        yield export_net(nets[""], path, shown, **given, **compiled, **(integers if in_8_bits[path] else {}))


def _depths(target: Path, label: str | None) -> dict[str, Path]:
    """The networks of a run that came out of one training, by their depths, the full one first."""
    if target.is_file():
        raise UnskipError(f"`switchable` takes the depths from a run folder, and {target} is a file")
    named = {net.label: net.training or net.label for net in RunFolder(target).load_results().nets}
    trainings = list(named.values())
    several = list(dict.fromkeys(training for training in trainings if trainings.count(training) > 1))
    wanted = [training for name, training in named.items() if label in (name, training)] if label else several
    if not several or not wanted or wanted[0] not in several:
        known = f"{', '.join(several)} did" if several else "as embedded_kd does"
        raise UnskipError(
            f"`switchable`: {label or target} is no training that gave networks of several depths; {known}"
        )
    labels = [name for name, training in named.items() if training == wanted[0]]
    return {name.removeprefix(f"{wanted[0]}-"): RunFolder(target).weights(name) for name in labels}


def _places(
    out: str | Path | None, formats: Sequence[str], name: str, device: Configuration | None = None
) -> list[Path]:
    """The files that an export command means; `UnskipError` where they cannot be."""
    wanted = [find_format(each) for each in dict.fromkeys(formats)]
    if out is not None and not str(out).strip():
        raise UnskipError("`out` is empty; name a file or a folder, or leave it out for this one")
    place = Path() if out is None else Path(out)
    endings = [format_.ending for format_ in FORMATS.values()]
    meant = ending_of(place) or nearest(place.suffix.lower(), endings)  # student.pt is a slip
    if meant and not place.is_dir() and not str(out).endswith(("/", os.sep)):
        ending = format_for(place)
        if wanted and wanted != [ending]:
            raise UnskipError(
                f"`out` {place} names the format {ending.name}; give a folder to write {', '.join(formats)}"
            )
        files = [place]
    else:
        if place.is_file():
            raise UnskipError(f"`out` {place} is a file, and ends in none of {', '.join(endings)}; name a folder")
        usual = [find_format(device.runtime if device else "onnx")]
        files = [place / f"{name}{_ending(format_, device)}" for format_ in wanted or usual]
    for file in files:
        check_writable(file, "`out`")
    return files


def _ending(format_: Format, device: Configuration | None) -> str:
    """That of a format's files; `UnskipError` where it takes a device, and none is named."""
    runtime = format_.runtime
    if not isinstance(runtime, Estimator):
        return format_.ending
    if device is None or device.runtime != runtime.name:
        raise UnskipError(
            f"{format_.name} files are for one device; say which with `target`: {', '.join(runtime.targets)}"
        )
    return runtime.ending(device.target)


def data_for(file: Path, info: DataInfo, argument: str | None, settings: Sequence[str]) -> Data:
    """Images as the network expects them: its size, its normalisation, its classes.

    They are those of the run in whose folder the network's ``file`` lies, read as the run read them, or those that
    ``argument`` names as ``--data`` does.
    """
    run = _run_of(file)
    if argument is None and run is None:
        raise UnskipError(f"{file} lies in no run folder; say with `data` on which images")
    for setting in settings:
        if not setting.startswith("data."):
            raise UnskipError(f"{setting!r}: only the data can change here, such as `data.test_limit=1000`")
    recipe = load_recipe(run.recipe).data if run else None
    tree = recipe.model_dump(mode="json", exclude=_OF_ONE_SOURCE if argument else None) if recipe else {}
    tree |= data_section(argument) if argument else {}
    tree["image_size"] = list(info.image_shape[1:])
    wanted = recipe_from({"data": tree}, settings).data
    if wanted.size != info.image_shape[1:]:
        height, width = info.image_shape[1:]
        raise UnskipError(
            f"the network reads images of {height}x{width} pixels, so data.image_size cannot be {wanted.image_size}; "
            "leave it out, and images of other sizes are brought to that one"
        )
    if run is not None and recipe is not None and argument is None and wanted.path == recipe.path:
        wanted = run.located(wanted)
        if wanted.name in ("image_folder", "images", "parquet") and not wanted.folder.exists():
            raise UnskipError(
                f"the images of the run {run.path} are not in {wanted.path}; say with `data` where they are"
            )
    data = load_data(
        wanted,
        device="cpu",
        normalization=Normalization(info.mean, info.std),
        preprocessing=info.preprocessing,
        labelled=bool(info.classes),
    )
    if data.image_shape != info.image_shape:
        kinds = {1: "grey", 3: "RGB"}
        has, reads = (kinds.get(shape[0], f"{shape[0]}-channel") for shape in (data.image_shape, info.image_shape))
        raise UnskipError(
            f"the network reads {reads} images, and those of {data.name} are {has}; give others with `data`"
        )
    check_classes(data, info.classes, "the network")
    return data


def check_classes(data: Data, known: Sequence[str], who: str) -> None:
    """Raise `UnskipError` where the classes of the data are not those that a network knows."""
    if data.classes != known:
        there, here = (f"{len(names)} classes ({', '.join(names[:4])}, ..)" for names in (known, data.classes))
        raise UnskipError(f"{who} knows {there}, the data has {here}")


def _run_of(file: Path) -> RunFolder | None:
    """The run in whose folder a file lies."""
    folder = RunFolder(file.resolve().parent.parent)
    return folder if folder.recipe.is_file() else None
