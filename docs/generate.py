"""Write the pages that are made from the code: methods.md, recipe.md and command-line.md.

    python docs/generate.py

Method cards, field descriptions and command helps have one home, the code; tests/test_docs.py fails when a page says
something else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from unskip.cli import app
from unskip.methods import method_card, method_class, method_names
from unskip.nets import NETS
from unskip.recipe import Recipe, load_recipe, named_recipes

HERE = Path(__file__).resolve().parent
NOTE = "<!-- Written by docs/generate.py. Change the code it is made from, then run it again. -->"

Schema = Mapping[str, Any]


def methods_page() -> str:
    """Every method's card and fields."""
    lines = [
        NOTE,
        "",
        "# Methods",
        "",
        "A method is one file in `src/unskip/methods/`; its name here is the file's name. Each section is the method's "
        "card, as `unskip methods NAME` prints it. Fields are set in a recipe, `methods: {align_kd: {alpha: 0.3}}`, or "
        "with `--set methods.align_kd.alpha=0.3`.",
        "",
        *(f"- [`{name}`](#{name}): {_summary(method_card(name))}" for name in method_names()),
    ]
    for name in method_names():
        schema = method_class(name).model_json_schema()
        lines += ["", f"## {name}", "", method_card(name), "", *_fields(schema, f"methods.{name}.", {})]
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
        "A recipe is a YAML file. Every field has a default, so a recipe says only what differs; `unskip recipes NAME` "
        "prints one with all of them filled in. `--set section.field=value` changes a field for one run. A key that "
        "is not listed here, or a value of another type, is an error that names the nearest right key. "
        "[Runs](runs.md) says what a run makes of a recipe.",
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
        "Names for `teacher.net` and `student.net`. Options: `width`, the first stage's channels; `num_classes` and "
        "`in_channels` are filled in from the data.",
        "",
        "| name | network |",
        "|---|---|",
        *(f"| `{name}` | {entry.summary} |" for name, entry in NETS.items()),
    ]
    return "\n".join(lines) + "\n"


def command_line_page() -> str:
    """Every command with its arguments and options."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    lines = [NOTE, "", "# Command line", "", *_help(group.help)]
    for name, command in group.commands.items():
        lines += ["", f"## unskip {name}", "", *_help(command.help)]
        parameters = [(_usage(parameter), parameter) for parameter in command.params]
        if parameters:
            lines += ["", "| argument or option | default | meaning |", "|---|---|---|"]
        for usage, parameter in parameters:
            default = (
                "required" if parameter.required else "" if parameter.default is None else f"`{parameter.default}`"
            )
            lines.append(f"| `{usage}` | {default} | {_cell(getattr(parameter, 'help', '') or '')} |")
    lines += [
        "",
        "## Exit codes",
        "",
        "| code | meaning |",
        "|---|---|",
        "| 0 | done |",
        "| 1 | an error that unskip did not foresee, with its traceback |",
        "| 2 | something given cannot be used; one sentence on stderr says what to change |",
        "| 130 | interrupted (Ctrl-C); the same command goes on from there |",
    ]
    return "\n".join(lines) + "\n"


PAGES: Mapping[str, Callable[[], str]] = {
    "methods.md": methods_page,
    "recipe.md": recipe_page,
    "command-line.md": command_line_page,
}


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


def _type(about: Schema, sections: Schema) -> str:
    """A JSON schema's type in words."""
    if "anyOf" in about:
        return " or ".join(_type(member, sections) for member in about["anyOf"])
    if "oneOf" in about:
        return " or ".join(f"`{name}`" for name in about["discriminator"]["mapping"])
    if "$ref" in about:
        return "section" if "default" in about else f"section, as `{_place_of(about['$ref'])}`"
    if "enum" in about or "const" in about:
        values = about.get("enum", [about.get("const")])
        return " or ".join(f'`"{value}"`' if str(value).isdigit() else f"`{value}`" for value in values)
    if about["type"] == "array":
        count = f"{about['minItems']} " if "minItems" in about else ""
        items = about["prefixItems"][0] if "prefixItems" in about else about["items"]
        return f"list of {count}{_type(items, sections)}s"
    words = {
        "integer": "whole number",
        "number": "number",
        "boolean": "`true` or `false`",
        "string": "text",
        "object": "mapping",
        "null": "`null`",
    }
    return words[about["type"]] + _bounds(about)


def _bounds(about: Schema) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {about[key]}" for key, sign in signs.items() if key in about]
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
        return ", ".join(parameter.opts)
    return f"{', '.join(parameter.opts)} {parameter.metavar or parameter.name.upper()}"


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
    for page, write in PAGES.items():
        (HERE / page).write_text(write(), encoding="utf-8")
        print(HERE / page)
