"""Write the pages that are made from the code, by default all of them: `PAGES` names them.

    python docs/generate.py [PAGE..]

Method cards, field descriptions and command helps have one home, the code; tests/test_docs.py fails when a page says
something else.
"""

from __future__ import annotations

import inspect
import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from typer.core import TyperGroup

import unskip
from unskip.analyses import ANALYSES, inspect_net
from unskip.cli import app
from unskip.dataflow import CONVENTIONS
from unskip.listing import named_recipes
from unskip.measures import Measure, measures
from unskip.methods import METHODS, method_class
from unskip.nets import FAMILIES, NETS, PACKAGES, make_net
from unskip.recipe import Recipe, load_recipe
from unskip.run_analyses import RUN_ANALYSES
from unskip.runtimes import RUNTIMES
from unskip.search import Budget, fit_budget, render_answer
from unskip.settings import Section, arguments_of
from unskip.study import form
from unskip.study.engines import ENGINES
from unskip.surgery import EDITS
from unskip.tasks import TASKS

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from devices_page import devices_page, devices_picture  # noqa: E402
from pictures import cycles_picture, depth_picture, memory_picture  # noqa: E402

from tests.papers.counts import CheckedCount, check_counts  # noqa: E402

NOTE = "<!-- Written by docs/generate.py. Change the code it is made from, then run it again. -->"

Schema = Mapping[str, Any]

STUDY_SECTIONS: Mapping[str, type[Section]] = {
    "A study": form.StudyForm,
    "before": form.Before,
    "grids": form.Grid,
    "rows": form.Row,
    "derived": form.Derived,
    "counted": form.Counted,
    "conclusions": form.Conclusion,
    "quick": form.Quick,
}


def methods_page() -> str:
    """Every method's card and fields."""
    lines = [
        NOTE,
        "",
        "# Methods",
        "",
        "Recipes and commands use these names. Each section is the method's card, as `unskip methods NAME` prints it. "
        "Set fields in a recipe, `methods: {align_kd: {alpha: 0.3}}`, or with `--set methods.align_kd.alpha=0.3`.",
        "",
        *(f"- [`{name}`](#{name}): {_summary(METHODS.card(name))}" for name in METHODS),
    ]
    for name in METHODS:
        schema = method_class(name).model_json_schema()
        lines += ["", f"## {name}", "", METHODS.card(name), "", *_fields(schema, f"methods.{name}.", {})]
    return "\n".join(lines) + "\n"


def recipe_page() -> str:
    """Every field of a recipe, the recipes that come with the project, and the networks."""
    schema = Recipe.model_json_schema()
    sections = schema["$defs"]
    lines = [
        NOTE,
        "",
        "# Recipe fields",
        "",
        "A recipe is a YAML file. Every field has a default, so a recipe contains only what differs; `unskip recipes "
        "NAME` prints one with all fields. `--set section.field=value` changes a field for one run. An unknown key is "
        "an error that names the nearest known one. [Start a run](../how-to/run.md) shows the use.",
        "",
        "The YAML version is 1.2: `yes`, `1:30` and `2024-01-01` are strings, `010` is ten. Anchors and `<<` work. "
        "Keys are unique strings, numbers are finite. Dates, sets, binary data and other tags are refused, and so are "
        "files of more than 1 MiB, 32 levels, or, with anchors expanded, 20,000 values.",
        "",
        "## Top level",
        "",
        *_fields(schema, "", sections),
    ]
    for name, section in schema["properties"].items():
        if "$ref" in section:
            lines += ["", *_section(name, _resolved(section, sections), sections)]
    lines += [
        "",
        "## Recipes that come with unskip",
        "",
        "| name | what it is |",
        "|---|---|",
        *(f"| `{name}` | {_cell(load_recipe(name).title)} |" for name in named_recipes()),
        "",
        "## Networks",
        "",
        "Names for `teacher.net` and `student.net`. `num_classes` and `in_channels` are filled in from the data.",
        "",
        "| name | network | image | options and their defaults |",
        "|---|---|---|---|",
        *(
            f"| `{name}` | {entry.summary} | {entry.image_size} | {_arguments(entry.factory)} |"
            for name, entry in NETS.items()
        ),
        *(f"| `{name}` | {summary} | | |" for name, summary in {**FAMILIES, **PACKAGES}.items()),
        "",
        "## Edits",
        "",
        "`teacher.edits` and `student.edits` are lists of these, applied in order; each entry is a name, or a name "
        "with its arguments:",
        "",
        "```yaml",
        "teacher: {net: wrn-22x2, edits: [{with_grouped_convs: {groups: 4}}]}",
        "student: {net: wrn-22x2, edits: [{with_grouped_convs: {channels_per_group: 4}}, without_shortcuts]}",
        "```",
        "",
        "`unskip inspect NET --edit 'NAME: {argument: value}'` shows what one does.",
    ]
    for name, function in EDITS.items():
        lines += ["", f"### {name}", "", *(line.replace("``", "`") for line in _docstring(function))]
        lines += ["", f"Arguments and their defaults: {_arguments(function) or 'none'}."]
    return "\n".join(lines) + "\n"


def command_line_page() -> str:
    """Every command with its arguments and options."""
    group = typer.main.get_command(app())
    assert isinstance(group, TyperGroup)
    lines = [NOTE, "", "# Command line", "", *_help(group.help)]
    for name, command in group.commands.items():
        lines += ["", f"## unskip {name}", "", *_help(command.help)]
        parameters = [(_usage(parameter), parameter) for parameter in command.params]
        if parameters:
            lines += ["", "| argument or option | default | meaning |", "|---|---|---|"]
        for usage, parameter in parameters:
            lines.append(f"| `{usage}` | {_default(parameter)} | {_cell(getattr(parameter, 'help', '') or '')} |")
    lines += [
        "",
        "## Exit codes",
        "",
        "| code | meaning |",
        "|---|---|",
        "| 0 | done |",
        "| 1 | from `unskip fit-budget NET` and `unskip shrink NET`: the budget is not met; from `unskip study NAME`: "
        "a cell failed |",
        "| 2 | something given cannot be used, the disk is full, the memory is too small, or code of your own raised "
        "an exception; one sentence on stderr says what to change |",
        "| 70 | a bug in unskip; the sentence on stderr names a file with the traceback; please report it |",
        "| 130 | interrupted (Ctrl-C); the same command continues from there |",
        "| 141 | the reader of the output has gone, as behind `| head` |",
        "",
        "Finished work is never lost. Standard error holds that one sentence and warnings, never a traceback.",
    ]
    return "\n".join(lines) + "\n"


def study_form_page() -> str:
    """Every field of a study, and the engines that carry one out."""
    lines = [
        NOTE,
        "",
        "# Study fields",
        "",
        "A study is a YAML file, in the same YAML as [recipes](recipe.md). [Studies](../how-to/study.md) has an "
        "example. An unknown key is an error that names the nearest known one.",
    ]
    for title, section in STUDY_SECTIONS.items():
        lines += ["", f"## {title}", "", _one_line(inspect.getdoc(section) or ""), ""]
        lines += ["| field | default | meaning |", "|---|---|---|"]
        for name, field in section.model_fields.items():
            default = "required" if field.is_required() else f"`{json.dumps(field.default)}`"
            lines.append(f"| `{name}` | {default} | {_cell(field.description or '')} |")
    lines += [
        "",
        "## Engines",
        "",
        "`--on NAME` chooses one, `--on-set NAME=VALUE` changes its settings, `--jobs` limits the cells at once.",
    ]
    for name in ENGINES:
        settings = arguments_of(ENGINES[name].__init__).model_fields
        told = ", ".join(f"`{key}={json.dumps(field.default)}`" for key, field in settings.items() if key != "jobs")
        about = _one_line(inspect.getdoc(ENGINES[name]) or "")
        lines += [
            "",
            f"### {name}",
            "",
            *ENGINES.card(name).splitlines(),
            "",
            f"Settings and defaults: {told}. {about}",
        ]
    return "\n".join(lines) + "\n"


def counts_page() -> str:
    """What the counting conventions are, and every printed count of the papers."""
    checked = check_counts()
    by_table: dict[tuple[str, str], list[CheckedCount]] = {}
    for item in checked:
        by_table.setdefault((item.cell.paper, item.cell.table), []).append(item)
    slips = [item for item in checked if not item.matches]
    lines = [
        NOTE,
        "",
        "# Counts",
        "",
        "Papers print parameters, FLOPs and depths of their networks. `tests/papers/` builds the same networks and "
        "counts. A printed figure matches (✓) if the count, rounded half up to the printed digits, is the same. "
        f"{len(checked) - len(slips)} of {len(checked)} printed counts match; {len(slips)} are "
        "slips of the papers, explained [below](#slips).",
        "",
        "## Conventions",
        "",
        "Parameters are all trained values, including BatchNorm's weights and biases. Depth is the number of "
        "convolutions and linear layers, without those of shortcuts. What a paper calls FLOPs depends on the tool that "
        "counted them; `count_macs(net, input_shape, convention=...)` knows three:",
        "",
        *(f"- `{name}`: {convention.summary}." for name, convention in CONVENTIONS.items()),
        "",
        "For one image, with *in* and *out* the features of a linear layer and *k* the pixels that a pooling averages:",
        "",
        "| operation | `macs` | `torchprofile` | `thop-2019` |",
        "|---|---|---|---|",
        "| convolution | MACs | MACs | MACs, and 1 for each output element if it has a bias |",
        "| linear layer with bias | in · out | in · out | 2 · in · out |",
        "| linear layer without bias | in · out | in · out | (2 · in - 1) · out |",
        "| BatchNorm | 0 | 0 | 4 for each element |",
        "| average pooling, global or not | 0 | 1 for each output element | (k + 1) for each output element |",
        "| other products of matrices (attention) | MACs | MACs | MACs |",
        "| activation, addition, maximum pooling, dropout | 0 | 0 | 0 |",
        "",
        "A mean counts as a pooling. The packages also count operations that none of these networks has: element-wise "
        "products and layer norms in torchprofile, softmax and upsampling in thop.",
        "",
        "```python",
        "from unskip import make_net",
        "from unskip.dataflow import count_macs",
        "",
        'net = make_net("resnet18")',
        "macs = count_macs(net, (3, 224, 224))",
        'assert count_macs(net, (3, 224, 224), convention="torchprofile") == macs + 512  # the global average pooling',
        "```",
        "",
        "## Demystification",
        "",
        "Every 3x3 convolution grouped into N groups (gN) or groups of N channels (GN), with (R) and without (NR) "
        "shortcuts; CIFAR-100, images of 32x32, convention `torchprofile`.",
        "",
        "### FLOPs in millions (table 8)",
        "",
        *_matrix(by_table["demystification", "8"]),
        "",
        "### Parameters in millions (table 9)",
        "",
        *_matrix(by_table["demystification", "9"]),
        "",
        "## Stagewise KD",
        "",
        "Table 1: ResNets of basic blocks with shortcuts, 10 classes, images of 224x224, convention `thop-2019`.",
        "",
        *_list(by_table["stagewise-kd", "1"]),
        "",
        "## EKD-DDNN",
        "",
        "Table 2: ImageNet, images of 224x224, convention `macs`. ResNet-18 and 34 have basic blocks, the others "
        "bottlenecks: those with fewer layers are ResNet-50 without the last blocks of some stages.",
        "",
        *_list(by_table["ekd-ddnn", "2"]),
        "",
        "Table 1: nets for images of 32x32, which have their depth in their name.",
        "",
        *_list(by_table["ekd-ddnn", "1"]),
        "",
        "## Slips",
        "",
        *(
            f"- EKD-DDNN, table {item.cell.table}, {item.cell.network} [{item.cell.variant}], {item.cell.metric}: "
            f"{item.cell.printed} {item.cell.unit} is printed, {item.computed:,} counted: {item.cell.note}."
            for item in slips
        ),
    ]
    return "\n".join(lines) + "\n"


def edits_page() -> str:
    """The plans of three networks, as `inspect --also plan` prints them."""
    lines = [
        NOTE,
        "",
        "# Find the edits that lower the peak",
        "",
        "`unskip inspect NET --also plan` searches for the smallest edits that lower the peak of live feature maps: "
        "shortcuts removed or shortened, a leaner stem, and both. If the peak is in the stem, removing shortcuts alone "
        "does not lower it; if four of sixteen shortcuts hold it, the others can stay, and with them [most of the "
        "accuracy](../results/fitting.md#only-the-shortcuts-at-the-peak). Put the edits of a line under "
        "`student.edits` of a recipe, or after `--edit` one by one ([what they do](../reference/recipe.md#edits)). The "
        "accuracy that they cost is known only after training.",
        "",
        "Those shortcuts alone removed from a network of yours, which begins with blocks fitted to do without them:",
        "",
        "```bash",
        "unskip inspect mine.pth",
        "unskip run --teacher mine.pth --data MY_IMAGES --method fit_kd --epochs 2 \\",
        "  --set 'student.edits=[{without_shortcuts: {only: [stage1]}}]'",
        "```",
        "",
        "![Live feature maps over time](../images/planning.png)",
        "",
        "For an image of 224x224, float32, batch 1 ([how memory is counted](../explanation/schedules.md#memory)); "
        "drawn by `python docs/picture.py`.",
    ]
    for name in ("resnet18", "resnet50", "mobilenetv2"):
        lines += ["", f"## {name}", "", *_printed(partial(_show_plan, name))]
    return "\n".join(lines) + "\n"


def budget_page() -> str:
    """The students of a network for a budget, as `fit-budget` prints them."""
    lines = [
        NOTE,
        "",
        "# Find students for a budget",
        "",
        "`unskip fit-budget NET` lists the students that meet limits of memory, parameters, MACs, file size or "
        "latency, before any is trained. It combines a lean stem, 2, 4 or 8 groups, shortcuts removed (as in a plan, "
        "up to a stage, or all) or shortened, fewer blocks in each stage, and, with the extra `unskip[prune]`, a "
        "quarter, three eighths or half of the channels pruned. Students that change least come first: most MACs "
        "kept, then shortcuts, then parameters. A student is left out if another one, with the same kinds of edits "
        "or fewer, changes less and needs no more of anything that is limited.",
        "",
        "Each line is a recipe, which `--out FOLDER` writes, with the method `fade_kd` for the network without "
        "shortcuts, `fade_joint_rd` if these are more than nine and `fit_kd` if they are more than 16 ([which keeps "
        "more](../results/fitting.md#or-fading)), `embedded_kd` for sub-nets and `align_kd` for others "
        "([Methods](../reference/methods.md)). In the printed command, replace MY_WEIGHTS by the file of your "
        "trained weights. Figures are for the network's own number of classes, or that of `--set num_classes=10`.",
        "",
        "- **Latency**: unless `--no-latency` is given, up to 8 students within the limits are exported untrained and "
        "measured beside the network. With a limit such as `--latency-ratio`, these are the 8 whose MACs lie nearest "
        "to it, the second half chosen after the first is measured, and only they are listed. A student whose spread "
        "(10th to 90th percentile) covers the limit is borderline.",
        "- **Devices**: with `--target`, a device's compiler is asked ([Plan for a device](plan-for-a-device.md)).",
        "- **Nothing meets the budget**: then you see what would: 8 bits, the largest of some smaller images, or both. "
        "For a limit on a device, the compiler is asked about the nearest student with two smaller images; for a time "
        "limit on this machine there is no such list.",
        "- A [measure of your own](extend.md) with a limit has its option here too.",
    ]
    answer = fit_budget(make_net("resnet18"), (3, 224, 224), Budget({"memory": "2MiB"}), latency=False)
    lines += [
        "",
        "## An example",
        "",
        "```bash",
        "unskip fit-budget resnet18 --memory 2MiB --no-latency",
        "```",
        "",
        *_printed(partial(render_answer, answer)),
    ]
    return "\n".join(lines) + "\n"


def catalogue_page() -> str:
    """What is found by listing a folder and has no page of its own."""
    lines = [
        NOTE,
        "",
        "# Catalogue",
        "",
        "All measures, analyses, tasks and runtimes. Each is one file; [Extend](../how-to/extend.md) shows how to add "
        "one.",
        "",
        "## Measures",
        "",
        "In `src/unskip/measures/`; networks and files are compared by these.",
        "",
        "| measure | title | better | definition | limits of `fit-budget` |",
        "|---|---|---|---|---|",
    ]
    for name, measure in measures().items():
        limits = ", ".join(f"`--{limit.name.replace('_', '-')}`" for limit in measure.limits)
        lines.append(
            f"| `{name}` | {measure.title} | {measure.better} | {_cell(_without(measure.title, measure))} | {limits} |"
        )
    lines += ["", "## Analyses", "", "In `src/unskip/analyses/`; what `unskip inspect NET` shows.", ""]
    lines += ["| name | what it is | shown |", "|---|---|---|", *(_analysis(name) for name in ANALYSES)]
    listings: dict[str, Any] = {
        "Analyses of runs": RUN_ANALYSES,
        "Tasks": TASKS,
        "Runtimes": RUNTIMES,
    }
    for title, listing in listings.items():
        folder = f"{str(listing.package).replace('unskip.', 'src/unskip/')}/"
        lines += ["", f"## {title}", "", f"In `{folder}`.", "", "| name | what it is |", "|---|---|"]
        lines += [f"| `{name}` | {_cell(_summary(listing.card(name)))} |" for name in listing]
        if listing is RUN_ANALYSES:
            lines += _settings_of_analyses()
    return "\n".join(lines) + "\n"


def _settings_of_analyses() -> list[str]:
    """What `unskip analyze --set` changes, analysis by analysis."""
    lines = [
        "",
        "`--set SETTING=VALUE` changes:",
        "",
        "| analysis | setting | default | meaning |",
        "|---|---|---|---|",
    ]
    for name, kind in RUN_ANALYSES.items():
        for setting, field in arguments_of(kind.of).model_fields.items():
            default = "" if field.default is None else f"`{field.default}`"
            lines.append(f"| `{name}` | `{setting}` | {default} | {_cell(field.description or '')} |")
    return lines


def _without(title: str, measure: Measure) -> str:
    """A measure's definition without its title in front, which has a column of its own."""
    return measure.about.definition.removeprefix(f"{title}: ")


def _analysis(name: str) -> str:
    kind = ANALYSES[name]
    when = "with `--target`" if kind.needs_device else f"with `--also {name}`" if kind.takes_time else "always"
    return f"| `{name}` | {ANALYSES.card(name)} | {when} |"


def _show_plan(name: str, console: Console) -> None:
    for part in inspect_net(make_net(name), (3, 224, 224), also=["plan"]).analyses["plan"].show(console):
        console.print(part)
        console.print()


GROUPS = {
    "Networks and edits": "A network by name or from any model, edits that return new networks, and weights files.",
    "Distilling": "From a teacher and data to a network without shortcuts; or a whole recipe at once.",
    "Measuring and deploying": "What a network holds and costs before any training, and files for other runtimes.",
}


def python_page() -> str:
    """The public names, in the groups of the package's stub."""
    lines = [
        NOTE,
        "",
        "# Python",
        "",
        "Everything public is a name of `unskip`, in three groups. Deeper names, such as those of `unskip.nets`, may "
        "move. Names are imported on first use, so `import unskip` takes no time.",
    ]
    for line in (HERE.parent / "src" / "unskip" / "__init__.pyi").read_text(encoding="utf-8").splitlines():
        if line.removeprefix("# ") in GROUPS:
            group = line.removeprefix("# ")
            lines += ["", f"## {group}", "", GROUPS[group], "", "| name | what it is |", "|---|---|"]
        elif line.startswith("from "):
            name = line.rpartition(" ")[2]
            lines.append(f"| `{name}` | {_cell(_docstring(getattr(unskip, name))[0])} |")
    return "\n".join(lines) + "\n"


def _printed(render: Callable[[Console], None]) -> list[str]:
    """What is printed on a console 100 columns wide, as a block of text."""
    file = io.StringIO()
    render(Console(width=100, file=file, no_color=True, legacy_windows=False))
    return ["```text", *(line.rstrip() for line in file.getvalue().strip().splitlines()), "```"]


PAGES: Mapping[str, Callable[[], str]] = {
    "reference/methods.md": methods_page,
    "reference/recipe.md": recipe_page,
    "reference/command-line.md": command_line_page,
    "reference/study-form.md": study_form_page,
    "reference/counts.md": counts_page,
    "how-to/find-edits.md": edits_page,
    "how-to/fit-budget.md": budget_page,
    "reference/python.md": python_page,
    "reference/catalogue.md": catalogue_page,
    "reference/devices.md": partial(devices_page, NOTE),
    "reference/devices.svg": devices_picture,
    "images/memory.svg": memory_picture,
    "images/cycles.svg": cycles_picture,
    "images/depth.svg": depth_picture,
}


def _arguments(function: Callable[..., Any]) -> str:
    """The arguments of a network or an edit, with their defaults, but for what the data decides."""
    fields = arguments_of(function).model_fields
    return ", ".join(
        f"`{name}`" if field.is_required() else f"`{name}={json.dumps(field.default)}`"
        for name, field in fields.items()
        if name not in ("num_classes", "in_channels")
    )


def _docstring(function: Callable[..., Any]) -> list[str]:
    """A docstring's lines; roles become code."""
    text = re.sub(r":\w+:`([\w.]+)`", r"`\1`", inspect.getdoc(function) or "")
    return text.splitlines()


def _matrix(items: Iterable[CheckedCount]) -> Iterator[str]:
    """A row for every network, a column for every variant, as the paper has it."""
    rows: dict[str, dict[str, str]] = {}
    for item in items:
        name = f"{item.cell.network} {'R' if item.cell.residual else 'NR'}"
        rows.setdefault(name, {})[item.cell.variant] = _marked(item)
    variants = next(iter(rows.values()))
    yield f"| network | {' | '.join(variants)} |"
    yield "|---" * (len(variants) + 1) + "|"
    for name, cells in rows.items():
        yield f"| {name} | {' | '.join(cells[variant] for variant in variants)} |"


def _list(items: Iterable[CheckedCount]) -> Iterator[str]:
    """A row for every network, its printed figures and counts side by side."""
    rows: dict[tuple[str, str], dict[str, CheckedCount]] = {}
    for item in items:
        rows.setdefault((item.cell.network, item.cell.variant), {})[item.cell.metric] = item
    metrics = next(iter(rows.values()))
    yield f"| network | blocks | {' | '.join(f'{metric} | counted' for metric in metrics)} |"
    yield "|---" * (2 * len(metrics) + 2) + "|"
    for (network, variant), found in rows.items():
        figures = [f"{_marked(item)} | {item.computed:,}" for item in found.values()]
        yield f"| {network} | {variant} | {' | '.join(figures)} |"


def _marked(item: CheckedCount) -> str:
    unit = "" if item.cell.paper == "demystification" else f" {item.cell.unit}"
    return f"{item.cell.printed}{unit} {'✓' if item.matches else '[slip](#slips)' if item.cell.note else '✗'}"


def _section(name: str, section: Schema, sections: Schema) -> Iterator[str]:
    yield from (f"## {name}", "", section["description"], "", *_fields(section, f"{name}.", sections))
    for field, about in section["properties"].items():
        for kind in about.get("oneOf", ()):
            member = _resolved(kind, sections)
            properties = dict(member["properties"])
            title = f"{name}.{field}: {properties.pop('name')['const']}"
            yield from ("", f"### {title}", "", _one_line(member["description"]), "")
            yield from _fields({"properties": properties}, f"{name}.{field}.", sections)


def _fields(schema: Schema, prefix: str, sections: Schema) -> Iterator[str]:
    if not schema.get("properties"):
        yield "It has no fields."
        return
    yield from ("| field | type | default | meaning |", "|---|---|---|---|")
    for name, about in schema["properties"].items():
        default = "" if "$ref" in about or "oneOf" in about else f"`{json.dumps(about.get('default'))}`"
        meaning = about.get("description") or (f"see [below](#{name})" if "$ref" in about else "")
        if "oneOf" in about:
            default, meaning = f"`{about['default']['name']}`", "see below; fields of the kind that `name` names"
        yield f"| `{prefix}{name}` | {_cell(_type(about, sections))} | {default} | {_cell(meaning)} |"


def _type(about: Schema, sections: Schema, plural: bool = False) -> str:
    """A JSON schema's type in words."""
    if "anyOf" in about:
        return " or ".join(_type(member, sections, plural) for member in about["anyOf"])
    if "oneOf" in about:
        return " or ".join(f"`{name}`" for name in about["discriminator"]["mapping"])
    if "$ref" in about:
        return "section" if "default" in about else f"section, as `{_place_of(about['$ref'])}`"
    if "enum" in about or "const" in about:
        values = about.get("enum", [about.get("const")])
        return " or ".join(f'`"{value}"`' if str(value).isdigit() else f"`{value}`" for value in values)
    if about["type"] == "array":
        least, most = about.get("minItems"), about.get("maxItems")
        items = about["prefixItems"][0] if "prefixItems" in about else about["items"]
        exact = f"{least} " if least and least == most else ""
        open_ended = f", at least {least}" if least and not exact else ""
        return f"list{'s' * plural} of {exact}{_type(items, sections, plural=True)}{open_ended}"
    words = {"integer": "integer", "number": "number", "string": "string", "object": "mapping"}
    fixed = {"boolean": "`true` or `false`", "null": "`null`"}
    return fixed.get(about["type"]) or words[about["type"]] + "s" * plural + _bounds(about)


_NO_LIMIT = 2**31 - 1  # of whole numbers, which no reader meets


def _bounds(about: Schema) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {about[key]}" for key, sign in signs.items() if about.get(key, _NO_LIMIT) != _NO_LIMIT]
    return f" {', '.join(bounds)}" if bounds else ""


def _place_of(reference: str) -> str:
    """The top-level key whose section a reference names."""
    for name, field in Recipe.model_json_schema()["properties"].items():
        if field.get("$ref") == reference:
            return name
    raise ValueError(f"no section of a recipe is {reference}")


def _resolved(about: Schema, sections: Schema) -> Schema:
    found: Schema = sections[about["$ref"].rpartition("/")[2]]
    return found


def _usage(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.name).upper()
    if parameter.is_flag:
        return ", ".join([*parameter.opts, *parameter.secondary_opts])
    return f"{', '.join(parameter.opts)} {parameter.metavar or parameter.name.upper()}"


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if parameter.default is None:
        return ""
    if isinstance(parameter.default, bool):
        return "on" if parameter.default else "off"
    return f"`{parameter.default}`"


def _help(text: str | None) -> Iterator[str]:
    """A docstring as Markdown: an indented block needs an empty line in front of it."""
    before = ""
    for line in (text or "").splitlines():
        if line.startswith("    ") and before and not before.startswith("    "):
            yield ""
        yield line
        before = line


def _summary(card: str) -> str:
    return card.splitlines()[0]


def _one_line(text: str) -> str:
    return re.sub(r"\s*\n\s*", " ", text.strip()).replace("``", "`")


def _cell(text: str) -> str:
    return _one_line(text).replace("|", "\\|")


if __name__ == "__main__":
    for page in sys.argv[1:] or PAGES:
        (HERE / page).write_text(PAGES[page](), encoding="utf-8")
        print(HERE / page)
