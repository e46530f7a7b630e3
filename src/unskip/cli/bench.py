"""``unskip bench``: networks and deployed files side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unskip.cli import _completion
from unskip.cli._console import Progress, out
from unskip.cli._options import (
    AllowedModules,
    DataName,
    DataSettings,
    Device,
    ImageSize,
    MemoryMode,
    Sram,
    SystemConfig,
    devices_in,
    names_in,
    numbers_in,
    parse_size,
    runtimes_here,
)


def bench(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET..",
            autocompletion=_completion.nets,
            help="Run folders (their best student), RUN:LABEL, files with weights, deployed files, networks by name: "
            "resnet50, resnet50+without_shortcuts, resnet20+width=32.",
        ),
    ],
    runtime: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            autocompletion=_completion.runtimes,
            help=f"Any of {runtimes_here()}, separated by commas. By default onnxruntime, or none with --target.",
        ),
    ] = None,
    target_devices: Device = None,
    system_config: SystemConfig = None,
    memory_mode: MemoryMode = None,
    sram: Sram = None,
    optimise: Annotated[
        str | None,
        typer.Option(metavar="AIM", help="With --target: for speed, for size, which needs the least SRAM, or both."),
    ] = None,
    threads: Annotated[str, typer.Option(metavar="NUMBERS", help="Threads, such as 1,2.")] = "1",
    batch: Annotated[str, typer.Option(metavar="NUMBERS", help="Images per call, such as 1,8.")] = "1",
    device: Annotated[str, typer.Option(metavar="DEVICE", help="cpu, or cuda (onnxruntime, torch).")] = "cpu",
    repeats: Annotated[int, typer.Option(min=1, max=10**6, help="Rounds in which every file is timed once.")] = 50,
    processes: Annotated[
        int, typer.Option(min=1, max=1000, help="Fresh processes of every file that share the rounds.")
    ] = 3,
    image_size: ImageSize = None,
    accuracy: Annotated[bool, typer.Option("--accuracy/--no-accuracy", help="Evaluate the files too.")] = True,
    data: DataName = None,
    settings: DataSettings = None,
    details: Annotated[bool, typer.Option("--details", help="Show every figure, and what it means.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write every figure as JSON.")
    ] = None,
    html_file: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a report as a page.")] = None,
    allowed: AllowedModules = None,
) -> None:
    """Compare networks and deployed files: latency, peak memory, size, and the accuracy of the files themselves.

    Every file runs in fresh processes of its own, which take turns; ratios are to the first target, taken within the
    rounds. Networks are first exported for each runtime and batch size; networks given by name have random weights.
    If a runtime cannot run something, the reason is shown. With --target, nothing is timed: the device's compiler
    estimates cycles and memory, and the accuracy is that of the device's integers.

    Examples: `unskip bench resnet50 resnet50+without_shortcuts --runtime onnxruntime,openvino --threads 1,2`,
    `unskip bench runs/demo:teacher runs/demo --html bench.html`, `unskip bench a.onnx b.onnx --data MY_IMAGES`,
    `unskip bench resnet50 resnet50+without_shortcuts --target ethos-u65-256`.
    """
    from unskip.compare import Settings
    from unskip.compare import bench as compare
    from unskip.files import check_writable, write_json
    from unskip.report import show_bench, write_bench_report

    comparison_settings = Settings(
        runtimes=names_in(runtime or ("" if target_devices else "onnxruntime")),
        devices=devices_in(target_devices, system_config, memory_mode, optimise, sram),
        threads=numbers_in("--threads", threads, 1024),
        batch_sizes=numbers_in("--batch", batch, 65_536),
        device=device,
        repeats=repeats,
        processes=processes,
    )
    for option, file in (("--json", json_file), ("--html", html_file)):
        if file is not None:
            check_writable(file, option)
    with Progress() as progress:
        progress.say("reading the targets")
        comparison = compare(
            targets,
            comparison_settings,
            image_size=parse_size(image_size),
            accuracy=accuracy,
            data=data,
            data_settings=settings or (),
            say=progress.say,
        )
    show_bench(comparison, out, details=details)
    if json_file is not None:
        write_json(json_file, comparison.model_dump(mode="json"))
    if html_file is not None:
        write_bench_report(comparison, html_file)
    if not details and not html_file:
        out.print("[dim]Every figure and what it means: --details here, --html FILE as a page[/dim]")
    for file in filter(None, (json_file, html_file)):
        out.print(str(file), highlight=False, soft_wrap=True)
