"""Networks of runs, or of files, written for deployment."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from torch import Tensor

from unskip.dataflow import forecast
from unskip.deploying import TestPasses, data_for, run_of, task_for
from unskip.errors import UnskipError, nearest
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
from unskip.files import check_writable, write_json
from unskip.nets.within_memory import check_memory
from unskip.quantized_training import QuantizedTraining
from unskip.recipe import load_recipe
from unskip.records import EightBits, read_eight_bits
from unskip.report import write_report
from unskip.run_folder import RunFolder, net_file
from unskip.runtimes import Configuration, Estimator, ending_of
from unskip.weights import load_net

_QAT_EPOCHS = 2


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
    qat_epochs: int | None = None,
    tolerance: float | None = None,
    images: int = 256,
    switchable: bool = False,
    device: Configuration | None = None,
    console: Console | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[Exported]:
    """Export a run's network or a network's file to every one of ``formats``, each file as soon as it is kept.

    ``out`` is a file, whose ending names the format, or a folder, by default the working directory; in a folder the
    file is called as the network is. What ends in no format's ending, or with a slash, is a folder. The files are
    checked on ``images`` test images of the network's run, or of ``data``, and all test images tell how well they do
    their task: answers may differ by ``tolerance`` (1e-3); with ``int8``, the figure that decides may be lower by
    ``max_drop`` (0.05), and ``calibration`` training images (256) decide the ranges. A network of a run that loses more
    than 0.005 so is trained on in 8 bits for ``qat_epochs`` (2; 0 for never), which ``console`` is told; what became of
    it, and what 8 bits cost the run's teacher, is kept in the run folder. ``switchable`` puts all networks that came
    out of the training of ``label`` into one file. Files for a ``device`` compute in 8 bits always. ``say`` is told
    what is being done.
    """
    if switchable and int8:
        raise UnskipError("a file of several depths is written in float32; export each depth by itself with `int8`")
    if int8 and tolerance is not None:
        raise UnskipError("`tolerance` compares logits of float32; what `int8` may lose is said with `max_drop`")
    files = _depths(target, label) if switchable else {"": net_file(target, label)}
    file = next(iter(files.values()))
    name = file.stem.removesuffix("-full") + "-switchable" if switchable else file.stem
    places = _places(out, formats, f"{name}-int8" if int8 else name, device)
    if device and all(format_for(path).runtime_name != device.runtime for path in places):
        raise UnskipError(
            f"`target` {device.target} is for files that end in {_ending(find_format(device.runtime), device)}"
        )
    in_8_bits = {path: int8 or not format_for(path).float32 for path in places}
    if not any(in_8_bits.values()) and (calibration, max_drop, qat_epochs) != (None, None, None):
        raise UnskipError("`calibration`, `max_drop` and `qat_epochs` belong to `int8`")
    nets = {depth: load_net(path)[0] for depth, path in files.items()}
    info = load_net(file)[1]
    if batch_size is not None:
        live = batch_size * forecast(next(iter(nets.values())), info.image_shape).peak_bytes
        check_memory(live, f"`batch_size` {batch_size}: the feature maps of so many images", "give fewer")
    network_data = data_for(file, info, data, settings, lambda what, done, of: say(f"{what}: {done:,} of {of:,}"))
    run = run_of(file)
    task = task_for(file, info) if info.classes or run else None  # without its teacher, the network itself is matched
    if normalization == "inside":
        network_data, task = network_data.scaled(), task and task.scaled(info.mean, info.std)
    recipe = load_recipe(run.recipe) if run else None
    facts = info.to_json() | {"label": name} | ({"recipe": recipe.digest()} if recipe else {})
    shown = network_data.test_images(images)
    arguments: Any = {
        "metadata": facts,
        "normalization": (info.mean, info.std) if normalization == "inside" else None,
        "batch_size": batch_size,
        "backend": backend,
        "task": task,
        "test": TestPasses(network_data),
    }
    seed, count = recipe.seed if recipe else 0, calibration or CALIBRATION_IMAGES
    integers: Any = {"calibration": network_data.train_images(count, seed)} if any(in_8_bits.values()) else {}
    if max_drop is not None:
        integers["max_drop"] = max_drop
    if any(in_8_bits.values()) and run and recipe and task:
        training = QuantizedTraining(
            run, recipe, file.stem, network_data, task, arguments["normalization"], console or Console(quiet=True)
        )
        integers["qat"] = training.for_epochs(_QAT_EPOCHS if qat_epochs is None else qat_epochs)
    if tolerance is not None:
        arguments["tolerance"] = tolerance
    for path in places:
        say(f"writing {path.name}, and proving it")
        if switchable:
            yield from export_switchable(nets, path, shown, **arguments)
            continue
        compiled: Any = {"device": device} if isinstance(format_for(path).runtime, Estimator) else {}
        exported = export_net(nets[""], path, shown, **arguments, **compiled, **(integers if in_8_bits[path] else {}))
        yield exported
        if in_8_bits[path] and run:
            target_name = device.target if compiled and device else arguments["backend"]
            _keep_figures(run, file.stem, exported, target_name)
            say(f"{path.name} is written; what 8 bits cost the teacher")
            again = {**arguments, **compiled, **integers, "max_drop": None, "qat": None}
            _compare_teacher(run, exported, target_name, shown, again)


def _keep_figures(run: RunFolder, label: str, exported: Exported, target: str | None) -> None:
    """Write down in the run folder what 8 bits cost a network, and the report anew."""
    record = cost_of_8_bits(label, exported, target)
    with contextlib.suppress(OSError, UnskipError):  # a run that nobody may write into, or of an older version
        write_json(run.int8 / record.file_name, record.model_dump(mode="json"))
        write_report(run.path)


def cost_of_8_bits(label: str, exported: Exported, target: str | None) -> EightBits:
    """What 8 bits cost a network, as its run folder keeps it; ``target`` names the device or the backend, if any."""
    quantization, scores = exported.quantization, exported.scores
    assert quantization is not None
    assert scores is not None
    return EightBits(
        label=label,
        format=exported.format,
        target=target,
        metric=scores.net.metric,
        images=scores.net.images,
        float32=scores.net.value,
        post_training=quantization.post_training.value,
        quantization_aware=quantization.quantization_aware and quantization.quantization_aware.value,
        epochs=quantization.epochs,
        requantized_additions=quantization.requantized_additions,
        note=quantization.note,
    )


def _compare_teacher(
    run: RunFolder, exported: Exported, target: str | None, images: Tensor, arguments: Mapping[str, Any]
) -> None:
    """What 8 bits cost the run's teacher after training, for the same target, where nobody has looked yet."""
    known = {(each.label, each.format, each.target) for each in read_eight_bits(run.int8)}
    if ("teacher", exported.format, target) in known or not run.weights("teacher").is_file():
        return
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(UnskipError):  # it is not what was asked for
        teacher = load_net(run.weights("teacher"))[0]
        ending = exported.path.name.removeprefix(exported.path.name.partition(".")[0])
        compared = export_net(teacher, Path(folder) / f"teacher{ending}", images, **arguments)
        _keep_figures(run, "teacher", compared, target)


def _depths(target: Path, label: str | None) -> dict[str, Path]:
    """The networks of a run that came out of one training, by their depths, the full one first."""
    if target.is_file():
        raise UnskipError(f"`switchable` takes the depths from a run folder, and {target} is a file")
    named = {net.label: net.training or net.label for net in RunFolder(target).load_results().nets}
    trainings = list(named.values())
    several = list(dict.fromkeys(training for training in trainings if trainings.count(training) > 1))
    chosen = [training for name, training in named.items() if label in (name, training)] if label else several
    if not several or not chosen or chosen[0] not in several:
        known = f"{', '.join(several)} did" if several else "as embedded_kd does"
        raise UnskipError(
            f"`switchable`: {label or target} is no training that gave networks of several depths; {known}"
        )
    labels = [name for name, training in named.items() if training == chosen[0]]
    return {name.removeprefix(f"{chosen[0]}-"): RunFolder(target).weights(name) for name in labels}


def _places(
    out: str | Path | None, formats: Sequence[str], name: str, device: Configuration | None = None
) -> list[Path]:
    """The files that an export command means; `UnskipError` where they cannot be."""
    chosen = [find_format(each) for each in dict.fromkeys(formats)]
    if out is not None and not str(out).strip():
        raise UnskipError("`out` is empty; name a file or a folder, or leave it out for this one")
    place = Path() if out is None else Path(out)
    endings = [format_.ending for format_ in FORMATS.values()]
    meant = ending_of(place) or nearest(place.suffix.lower(), endings)  # student.pt is a slip
    if meant and not place.is_dir() and not str(out).endswith(("/", os.sep)):
        ending = format_for(place)
        if chosen and chosen != [ending]:
            raise UnskipError(
                f"`out` {place} names the format {ending.name}; give a folder to write {', '.join(formats)}"
            )
        files = [place]
    else:
        if place.is_file():
            raise UnskipError(f"`out` {place} is a file, and ends in none of {', '.join(endings)}; name a folder")
        usual = [find_format(device.runtime if device else "onnx")]
        files = [place / f"{name}{_ending(format_, device)}" for format_ in chosen or usual]
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
