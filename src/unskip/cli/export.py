"""``unskip export``: files for deployment, checked against the network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from unskip.cli import _completion
from unskip.cli._console import Progress, out
from unskip.cli._exports import show_exports
from unskip.cli._options import (
    AllowedModules,
    DataName,
    DataSettings,
    Device,
    MemoryMode,
    NetLabel,
    Optimise,
    Sram,
    SystemConfig,
    devices_in,
    finite,
)
from unskip.errors import UnskipError
from unskip.listing import listed_names

if TYPE_CHECKING:
    from unskip.export import Exported


def export(
    target: Annotated[Path, typer.Argument(help="A run folder (its best student) or a .safetensors file.")],
    to: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FORMAT",
            autocompletion=_completion.formats,
            help=f"One of {', '.join(listed_names('unskip.export.formats'))}; by default onnx. Repeat for more.",
        ),
    ] = None,
    place: Annotated[
        str | None,
        typer.Option(
            "--out",
            metavar="PLACE",
            help="A file, whose ending gives the format, or a folder, by default the working directory. In a folder, "
            "the file is named after the network: align_kd.pte, with --int8 align_kd-int8.pte.",
        ),
    ] = None,
    label: NetLabel = None,
    device_name: Device = None,
    system_config: SystemConfig = None,
    memory_mode: MemoryMode = None,
    sram: Sram = None,
    optimise: Optimise = None,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8",
            help="Quantise to 8 bits (onnx, executorch; files for devices always are), calibrated on the run's "
            "training images.",
        ),
    ] = False,
    calibration: Annotated[
        int | None, typer.Option(min=1, help="With --int8: how many training images; by default 256.")
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            help="With --int8: how much top-1, or agreement with the teacher, may be lost, as a share of 1; by default "
            "0.05.",
            callback=finite,
            min=0,
            max=1,
        ),
    ] = None,
    qat_epochs: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=100_000,
            metavar="N",
            help="In 8 bits, for networks of a run: if more than 0.5 points are lost, continue with "
            "N epochs of quantisation-aware training under the run's own loss; by default 2, 0 for never.",
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch",
            min=1,
            max=65_536,
            help="Images that the file takes at once; by default any number (executorch: 1).",
        ),
    ] = None,
    normalization: Annotated[
        Literal["inside", "outside"],
        typer.Option(
            help="Where images are normalised: inside the file, which then takes them scaled to 0..1, or outside, by "
            "the mean and std in its metadata."
        ),
    ] = "inside",
    backend: Annotated[
        str | None, typer.Option(metavar="NAME", help="For executorch: xnnpack (the default) or portable.")
    ] = None,
    switchable: Annotated[
        bool,
        typer.Option(
            "--switchable", help="One file for all depths of a training such as embedded_kd's (onnx, executorch)."
        ),
    ] = False,
    data: DataName = None,
    settings: DataSettings = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            callback=finite,
            min=0,
            help="Without --int8: largest difference to the network, relative to the largest logit; by default 0.001.",
        ),
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="Test images on which file and network are compared.")] = 256,
    allowed: AllowedModules = None,
) -> None:
    """Write a trained network for deployment and check the file against the network on real images.

    Every file is run by its own runtime: its answers are compared with the network's, and its score on all test
    images is printed beside the network's own; `--set data.test_limit=1000` takes fewer. A file that deviates is
    deleted. executorch, ncnn and openvino are extras: `pip install 'unskip[executorch]'`.

    Examples: `unskip export runs/demo`, `unskip export runs/demo --to executorch --to openvino --out deployed`,
    `unskip export runs/demo --int8 --out student.onnx`, `unskip export runs/demo --to ethos-u --target ethos-u55-128`.
    """
    from unskip.exporting import export_target
    from unskip.records import read_eight_bits
    from unskip.report import show_eight_bits
    from unskip.run_folder import RunFolder

    devices = devices_in(device_name, system_config, memory_mode, optimise, sram)
    if len(devices) > 1:
        raise UnskipError("a file is for one device; name the others in commands of their own (`target`)")
    files: list[Exported] = []
    try:
        with Progress() as progress:
            written = export_target(
                target,
                place,
                to or (),
                data=data,
                settings=settings or (),
                label=label,
                batch_size=batch_size,
                normalization=normalization,
                backend=backend,
                int8=int8,
                calibration=calibration,
                max_drop=max_drop,
                qat_epochs=qat_epochs,
                tolerance=tolerance,
                images=images,
                switchable=switchable,
                device=devices[0] if devices else None,
                console=out,
                say=progress.say,
            )
            for done in written:
                files.append(done)
                out.print(f"{done.path} is written", highlight=False, soft_wrap=True)
    finally:  # what was kept before another was refused is there
        show_exports(files, out)
    if target.is_dir() and any(done.precision == "int8" for done in files):
        show_eight_bits(read_eight_bits(RunFolder(target).int8), out)
