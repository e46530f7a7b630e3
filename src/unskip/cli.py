"""The command line: parse and call, no logic."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from unskip.ending import ExitCode, ended, say
from unskip.errors import UnskipError

app = typer.Typer(
    name="unskip",
    help="Train with shortcuts, deploy without: remove the shortcuts of a residual CNN, keep its accuracy by "
    "distillation, export it, and measure what was gained.\n\nStart with `unskip inspect resnet50`, then "
    "`unskip run demo`. Wrong input ends with exit code 2 and a sentence that says what to change.",
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class _Console(Console):
    """Where commands print."""

    def on_broken_pipe(self) -> None:
        """Let the command end as one whose reader is gone; rich itself would end the process."""
        raise BrokenPipeError


out = _Console(soft_wrap=False)
_UsageError: Any = typer.BadParameter.__mro__[1]  # what Typer raises for a command line that it cannot parse

Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change any field, such as training.epochs=8. Repeat for more."),
]
DataSet = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a field of the data, such as data.test_limit=1000."),
]
DataOption = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="DATA",
        help="digits, cifar10, cifar100, or a folder: class folders or Parquet files.",
    ),
]

AllowModule = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-module",
        metavar="NAME",
        help="A module of your own that a file may name a network of. Repeat for more.",
    ),
]
NetOption = Annotated[
    str | None,
    typer.Option("--net", metavar="LABEL", help="Another network of the run folder, such as teacher."),
]
ImageSize = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Side in pixels, or height and width, such as 96x64; by default as the net expects.",
    ),
]


def _finite(value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no finite number")
    return value


def _allow(modules: list[str] | None) -> None:
    if modules:
        from unskip.nets import allow_module

        for name in modules:
            allow_module(name)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"unskip {metadata.version('unskip')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    recipe: Annotated[
        str | None,
        typer.Argument(help="A YAML file, or a name from `unskip recipes`. Without one: the defaults."),
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(metavar="NET", help="The network with shortcuts: see `unskip nets`.")
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A method to train a student with: see `unskip methods`. Repeat for more."),
    ] = None,
    data: DataOption = None,
    set_: Set = None,
    folder: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="By default a folder below runs/.")
    ] = None,
    allowed: AllowModule = None,
) -> None:
    r"""Train a teacher and plain students, export and measure all of them, write a report.

    Stopped at any instant, the same command goes on where it stopped. A teacher that was trained before is found again.

    For example:

    ```text
    unskip run demo
    unskip run cifar10-quick --set data.path=CIFAR_FOLDER
    unskip run --teacher resnet32 --method ce --method align_kd \
      --data MY_IMAGES --set training.epochs=30
    unskip run cifar10-quick --data MY_IMAGES --set teacher.weights=FILE
    ```
    """
    from unskip.report import Run, summarise
    from unskip.request import request_run
    from unskip.run import run_recipe

    _allow(allowed)
    resolved, default_folder = request_run(
        recipe, teacher=teacher, methods=method or (), data=data, settings=set_ or ()
    )
    where = folder or default_folder
    run_recipe(resolved, where, console=out)
    summary = summarise(Run.read(where))
    out.print()
    for sentence in (summary.headline, summary.costs, *summary.notes):
        out.print(sentence, highlight=False, markup=False)
    out.print(f"\nreport: {where / 'report.html'}", highlight=False, soft_wrap=True)


@app.command()
def inspect(
    net: Annotated[
        str, typer.Argument(help="A name from `unskip nets`, a .safetensors file of a run, or a run folder.")
    ],
    image_size: ImageSize = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option of the net, such as width=32."),
    ] = None,
    edit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EDIT", help="Change the net first: NAME or 'NAME: {argument: value}'. Repeat for more, in order."
        ),
    ] = None,
    plan: Annotated[
        Literal["peak"] | None,
        typer.Option(help="Also search the smallest edits that lower the peak of live feature maps, step by step."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    allowed: AllowModule = None,
) -> None:
    """Say what removing a network's shortcuts will give, before any training.

    Prints parameters, MACs, every shortcut with the bytes it holds and for how long, the memory that lives at every
    operation with and without shortcuts, and one sentence saying whether removal pays.

    Examples: `unskip inspect resnet50`, `unskip inspect resnet20 --set num_classes=100 --json`,
    `unskip inspect wrn-22x2 --edit 'with_grouped_convs: {groups: 2}'`, `unskip inspect resnet34 --edit 'at_depth:
    {blocks: [2, 2, 2, 2]}'`, `unskip inspect resnet18 --plan peak`.
    """
    import json

    from unskip.inspection import inspect_net, render
    from unskip.planning import plan as plan_of
    from unskip.planning import plan_to_json, render_plan
    from unskip.request import parse_size, request_net

    _allow(allowed)
    asked = request_net(net, set_ or (), edit or (), parse_size(image_size))
    found = inspect_net(*asked)
    lines = plan_of(*asked) if plan else []
    if as_json:
        typer.echo(json.dumps({**found.to_json(), **({"plan": plan_to_json(lines)} if plan else {})}, indent=1))
        return
    render(found, out)
    if plan:
        out.print()
        render_plan(lines, out)


@app.command()
def fit_budget(
    net: Annotated[
        str,
        typer.Argument(help="The teacher: a name from `unskip nets`, a .safetensors file of a run, or a run folder."),
    ],
    memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Most live feature maps at any time, such as 4MiB.")
    ] = None,
    parameters: Annotated[str | None, typer.Option(metavar="NUMBER", help="Most parameters, such as 5M.")] = None,
    macs: Annotated[str | None, typer.Option(metavar="NUMBER", help="Most MACs for an image, such as 800M.")] = None,
    file_size: Annotated[str | None, typer.Option(metavar="SIZE", help="Largest file, such as 20MB.")] = None,
    latency_ratio: Annotated[
        float | None,
        typer.Option(
            metavar="RATIO",
            callback=_finite,
            help="Most time, as a share of NET's on this machine, such as 0.8.",
        ),
    ] = None,
    latency_ms: Annotated[
        float | None,
        typer.Option(metavar="MS", callback=_finite, help="Most milliseconds for an image on this machine."),
    ] = None,
    element: Annotated[
        Literal["float32", "int8"],
        typer.Option(help="What feature maps and weights will be: int8 counts one byte for each element."),
    ] = "float32",
    runtime: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Where untrained exports are timed: onnxruntime, executorch, openvino, torch."
        ),
    ] = "onnxruntime",
    threads: Annotated[int, typer.Option(min=1, max=1024, help="Threads of the runtime.")] = 1,
    image_size: ImageSize = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option of the net, such as num_classes=10."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most students to list.")] = 10,
    no_latency: Annotated[bool, typer.Option("--no-latency", help="Only count; export and time nothing.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Write a recipe for every student listed.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    allowed: AllowModule = None,
) -> None:
    """List the students of a network that would meet a budget, before any training.

    Students are plain or partly plain, shallower, grouped, with a lean stem, or several of these; sub-nets share the
    weights of one network. Memory, parameters and MACs are counted; of those within these limits, a few are exported
    untrained and timed beside NET. First come those that change least. Each line is a recipe for `unskip run`. Where
    nothing meets the budget, the exit code is 1.

    Examples: `unskip fit-budget resnet18 --memory 2MiB`, `unskip fit-budget resnet50 --memory 5MiB --latency-ratio
    0.8 --out students`, `unskip fit-budget resnet56 --macs 60M --element int8 --no-latency --json`.
    """
    import json

    from unskip.budget import fit_budget, render_fit
    from unskip.files import check_writable
    from unskip.request import parse_size, request_budget, request_teacher

    _allow(allowed)
    if folder is not None:
        check_writable(folder / "recipe.yaml", "--out")
    budget = request_budget(
        memory=memory,
        parameters=parameters,
        macs=macs,
        file_size=file_size,
        latency_ratio=latency_ratio,
        latency_ms=latency_ms,
        element=element,
        measures=not no_latency,
    )
    teacher, shape, weights = request_teacher(net, set_ or (), parse_size(image_size))
    with out.status("counting") as status:
        fit = fit_budget(
            teacher,
            shape,
            budget,
            limit=limit,
            latency=not no_latency,
            runtime=runtime,
            threads=threads,
            weights=weights,
            progress=status.update,
        )
    written = fit.write_recipes(folder) if folder else []
    if as_json:
        typer.echo(json.dumps(fit.to_json() | {"written": list(map(str, written))}, indent=1))
    else:
        render_fit(fit, out, written)
    if not fit.fits:
        raise typer.Exit(ExitCode.NOT_MET)


@app.command()
def evaluate(
    target: Annotated[
        Path,
        typer.Argument(help="A run folder (its best student), a .safetensors file, or a deployed file of any format."),
    ],
    net: NetOption = None,
    depth: Annotated[
        str | None,
        typer.Option(metavar="DEPTH", help="Which network of a file of several depths; by default the full one."),
    ] = None,
    data: DataOption = None,
    set_: DataSet = None,
    allowed: AllowModule = None,
) -> None:
    """Top-1 and top-5 of a trained network or a deployed file on test images.

    The data is that of the network's run, unless `--data` names another; `--set data.test_limit=1000` takes fewer
    images. A deployed file is run by its own runtime, and gets images as its metadata says.

    Examples: `unskip evaluate runs/demo`, `unskip evaluate runs/demo --net teacher`,
    `unskip evaluate model.onnx --data MY_IMAGES`.
    """
    from unskip.trained import evaluate_target

    _allow(allowed)
    score = evaluate_target(target, data, set_ or (), label=net, depth=depth)
    figures = "  ".join(f"{name.replace('top', 'top-')} {100 * share:.2f} %" for name, share in score.figures.items())
    chance = f", at chance: naming one class always gives {100 * (score.chance or 0):.2f} %" if score.at_chance else ""
    out.print(f"{figures}  on {score.images:,} images{chance}", highlight=False)


@app.command()
def export(
    target: Annotated[Path, typer.Argument(help="A run folder (its best student) or a .safetensors file.")],
    to: Annotated[
        list[str] | None,
        typer.Option(metavar="FORMAT", help="onnx (the default), executorch, openvino or torch. Repeat for more."),
    ] = None,
    place: Annotated[
        str | None,
        typer.Option(
            "--out",
            metavar="PLACE",
            help="A file, whose ending says the format, or a folder, by default this one. In a folder the file is "
            "called as the network is: align_kd.pte, with --int8 align_kd-int8.pte.",
        ),
    ] = None,
    net: NetOption = None,
    int8: Annotated[
        bool,
        typer.Option("--int8", help="Quantise to 8 bits (onnx, executorch), calibrated on the run's training images."),
    ] = False,
    calibration: Annotated[
        int | None, typer.Option(min=1, help="With --int8: how many training images; by default 256.")
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            help="With --int8: how much top-1 may be lost, as a share of 1; by default 0.05.",
            callback=_finite,
            min=0,
            max=1,
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1, max=65_536, help="Images that the file takes at once; by default any number (executorch: 1)."
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
    data: DataOption = None,
    set_: DataSet = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            callback=_finite,
            min=0,
            help="Without --int8: largest difference to the network, relative to the largest logit; by default 0.001.",
        ),
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="Test images on which file and network are compared.")] = 256,
    allowed: AllowModule = None,
) -> None:
    """Write a trained network for deployment and check the file against the network on real images.

    Every file is run by its own runtime: its logits are compared with the network's, and its accuracy on all test
    images is printed beside the network's own; `--set data.test_limit=1000` takes fewer. A file that deviates is not
    left behind. executorch and openvino are extras: `pip install 'unskip[executorch]'`.

    Examples: `unskip export runs/demo`, `unskip export runs/demo --to executorch --to openvino --out deployed`,
    `unskip export runs/demo --int8 --out student.onnx`.
    """
    from unskip.trained import export_target

    _allow(allowed)
    written = export_target(
        target,
        place,
        to or (),
        data=data,
        settings=set_ or (),
        label=net,
        batch_size=batch,
        normalization=normalization,
        backend=backend,
        int8=int8,
        calibration=calibration,
        max_drop=max_drop,
        tolerance=tolerance,
        images=images,
        switchable=switchable,
    )
    for done in written:
        out.print(done.describe(), highlight=False, soft_wrap=True)


@app.command()
def bench(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET..",
            help="Run folders (their best student), RUN:LABEL, .safetensors or deployed files, and networks by name: "
            "resnet50, resnet50+without_shortcuts, resnet20+width=32.",
        ),
    ],
    runtime: Annotated[
        str, typer.Option(metavar="NAMES", help="Of onnxruntime, executorch, openvino, torch; with commas.")
    ] = "onnxruntime",
    threads: Annotated[str, typer.Option(metavar="NUMBERS", help="Threads, such as 1,2.")] = "1",
    batch: Annotated[str, typer.Option(metavar="NUMBERS", help="Images per call, such as 1,8.")] = "1",
    device: Annotated[str, typer.Option(metavar="DEVICE", help="cpu, or cuda (onnxruntime, torch).")] = "cpu",
    repeats: Annotated[int, typer.Option(min=1, max=10**6, help="Rounds in which every file is timed once.")] = 50,
    processes: Annotated[
        int, typer.Option(min=1, max=1000, help="Fresh processes of every file that share the rounds.")
    ] = 3,
    image_size: ImageSize = None,
    accuracy: Annotated[bool, typer.Option("--accuracy/--no-accuracy", help="Evaluate the files too.")] = True,
    data: DataOption = None,
    set_: DataSet = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write every figure as JSON.")
    ] = None,
    html_file: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a report as a page.")] = None,
    allowed: AllowModule = None,
) -> None:
    """Compare networks and deployed files: latency, peak memory, size, and the accuracy of the files themselves.

    Every file runs in fresh processes of its own, which take turns; ratios are to the first target, and are taken
    within the rounds. Networks are exported for each runtime and batch size first; networks by name have random
    weights. What a runtime cannot run is shown with the reason.

    Examples: `unskip bench resnet50 resnet50+without_shortcuts --runtime onnxruntime,openvino --threads 1,2`,
    `unskip bench runs/demo:teacher runs/demo --html bench.html`, `unskip bench a.onnx b.onnx --data MY_IMAGES`.
    """
    from unskip.bench import BenchSettings, names_in, numbers_in, render
    from unskip.bench import bench as compare
    from unskip.files import check_writable, write_json
    from unskip.report import write_bench_report
    from unskip.request import parse_size

    _allow(allowed)
    settings = BenchSettings(
        runtimes=names_in(runtime),
        threads=numbers_in("--threads", threads, 1024),
        batch_sizes=numbers_in("--batch", batch, 65_536),
        device=device,
        repeats=repeats,
        processes=processes,
        image_size=parse_size(image_size),
        accuracy=accuracy,
        data=data,
        data_settings=set_ or (),
    )
    for option, file in (("--json", json_file), ("--html", html_file)):
        if file is not None:
            check_writable(file, option)
    with out.status("reading the targets") as status:
        found = compare(targets, settings, say=status.update)
    render(found, out)
    if json_file is not None:
        write_json(json_file, found.model_dump(mode="json"))
    if html_file is not None:
        write_bench_report(found, html_file)
    for file in filter(None, (json_file, html_file)):
        out.print(str(file), highlight=False, soft_wrap=True)


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="A run folder.")]) -> None:
    """Write report.html again from a run's results, and print where it is.

    Example: `unskip report runs/demo`.
    """
    from unskip.report import write_report

    out.print(str(write_report(folder)), highlight=False, soft_wrap=True)


@app.command()
def methods(
    name: Annotated[str | None, typer.Argument(help="Show this method's card and fields.")] = None,
) -> None:
    """List the distillation methods, or show one: formula, defaults, when to use it, departures from its paper.

    Examples: `unskip methods`, `unskip methods align_kd`.
    """
    from unskip.methods import method_card, method_class, method_names

    if name is None:
        _print_pairs((known, method_card(known).splitlines()[0]) for known in method_names())
        return
    out.print(Markdown(method_card(name)))
    out.print()
    fields = method_class(name).model_fields.items()
    _print_pairs((f"methods.{name}.{field} = {info.default}", info.description or "") for field, info in fields)


@app.command()
def recipes(
    name: Annotated[str | None, typer.Argument(help="Print this recipe, with every default filled in.")] = None,
) -> None:
    """List the recipes that come with unskip, or print one; `unskip run NAME` runs it.

    Example: `unskip recipes demo > mine.yaml`, then change it and `unskip run mine.yaml`.
    """
    from unskip.recipe import load_recipe, named_recipes

    if name is None:
        _print_pairs((known, load_recipe(known).title) for known in named_recipes())
    else:
        typer.echo(load_recipe(name).to_yaml(), nl=False)


@app.command()
def nets() -> None:
    """List the networks by name; `unskip inspect NET` says more, `unskip run --teacher NET` trains one."""
    from unskip.nets import FAMILIES, NETS, PACKAGES

    _print_pairs([*((name, entry.summary) for name, entry in NETS.items()), *FAMILIES.items(), *PACKAGES.items()])


@app.command()
def counts(
    paper: Annotated[
        str | None, typer.Option(metavar="NAME", help="demystification, stagewise-kd or ekd-ddnn; all when left out.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Compare the parameters, FLOPs and depths that papers print with those of this code's networks.

    A line for every figure; R and NR are a network with and without its shortcuts. Figures that differ because the
    paper slipped are explained. Any other difference is a fault of this code: exit code 1.

    Examples: `unskip counts --paper stagewise-kd`, `unskip counts --json`.
    """
    import json

    from unskip.papers import check_counts, render, summary

    with out.status("counting") as status:
        checked = check_counts(paper, lambda done, every: status.update(f"counted {done} of {every} figures"))
    if as_json:
        data = {"counts": [item.to_json() for item in checked], "summary": summary(checked)}
        typer.echo(json.dumps(data, indent=1))
    else:
        render(checked, out)
    if any(item.is_failure for item in checked):
        raise typer.Exit(ExitCode.NOT_MET)


def _print_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """Two columns: names, and what they are; long texts wrap within their column."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column()
    for name, text in pairs:
        table.add_row(Text(name), Text(text))
    out.print(table)


def _print_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning as one sentence, without the place in the code that Python shows."""
    say(f"warning: {message}")


def _carry_out(arguments: list[str]) -> int:
    """Parse and call; the exit code. Typer's own way would take any `SystemExit` for the end of the command."""
    command = typer.main.get_command(app)
    with warnings.catch_warnings():
        warnings.showwarning = _print_warning
        try:
            with command.make_context("unskip", arguments or ["--help"]) as context:
                command.invoke(context)
        except typer.Exit as stop:
            return stop.exit_code
        except _UsageError as error:
            context_ = getattr(error, "ctx", None)
            asked = context_.command_path if context_ else "unskip"
            raise UnskipError(f"{error.format_message().rstrip('.')}; see `{asked} --help`") from error
    return ExitCode.DONE


def main() -> None:
    """Run the command line; whatever happens ends with an exit code and at most one sentence on stderr."""
    saved = "; the same `unskip run` goes on from what was saved" if sys.argv[1:2] == ["run"] else ""
    sys.exit(ended(lambda: _carry_out(sys.argv[1:]), saved=saved))
