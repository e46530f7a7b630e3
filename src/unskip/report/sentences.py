"""The sentences of runs and benchmarks: templates filled with facts, one form of words for each fact."""

from __future__ import annotations

from datetime import datetime

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from unskip import chance, units
from unskip.records import Comparison, PastRuns, Run, RunAnalysis, Shrink, Study
from unskip.report import (
    class_answers,
    devices,
    findings,
    layers,
    lines,
    past_runs,
    shrink_trials,
    shrinks,
    study_tables,
    svg,
    table,
)

TEMPLATES = Environment(
    loader=PackageLoader("unskip.report", "."),
    autoescape=select_autoescape(["html.j2"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.globals |= {
    name: getattr(module, name)
    for module, names in (
        (chance, ("tells_chance",)),
        (units, ("duration", "milliseconds", "percent", "points", "signed_number", "signed_points", "times")),
        (findings, ("COSTS", "Verdict", "fastest", "pairs", "worst_class")),
        (devices, ("alone_on_device", "best_on_device", "device_of", "on_devices", "refused_there")),
        (layers, ("in_short",)),
        (svg, ("DARK", "LIGHT")),
        (table, ("compared", "in_sentence", "speedup_text")),
        (shrinks, ("at_chance", "costs", "limited")),
        (shrink_trials, ("length_of", "reasons", "steps_further")),
        (class_answers, ("changed_most",)),
        (study_tables, ("DIFFERENCES", "UNITS", "interval_of", "place_of", "signed", "usual_value")),
        (lines, ("about", "setting_of", "shape_of")),
    )
    for name in names
}


def readable_time(iso_time: str) -> str:
    """An ISO time to the minute, with its zone; anything else as it is."""
    try:
        return datetime.fromisoformat(iso_time).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return iso_time


def breakable(label: str) -> Markup:
    """A label that may be broken before each edit and option in it, and between their words."""
    return Markup("<wbr>+").join(Markup("_<wbr>").join(part.split("_")) for part in label.split("+"))


TEMPLATES.globals |= {"readable_time": readable_time, "breakable": breakable}


def sentences(record: Run | Comparison | Shrink | PastRuns | Study | RunAnalysis, part: str) -> list[str]:
    """What a part of the template of a record's kind says; its parts are the macros that take nothing."""
    if isinstance(record, Run):
        name, facts = "run.txt.j2", {"run": record, "facts": findings.find(record)}
    elif isinstance(record, Shrink):
        name, facts = "shrink.txt.j2", {"shrink": record, "accuracy": shrinks.accuracy(record)}
    elif isinstance(record, PastRuns):
        name, facts = "past_runs.txt.j2", {"past": record, "facts": past_runs.facts_of(record)}
    elif isinstance(record, Study):
        name, facts = "study.txt.j2", {"study": record, "facts": study_tables.facts_of(record)}
    elif isinstance(record, RunAnalysis):
        name, facts = "run_analysis.txt.j2", {"analysis": record}
    else:
        name, facts = "comparison.txt.j2", {"bench": record}
    text: str = getattr(TEMPLATES.get_template(name).make_module(facts), part)()
    return [line.strip(" ") for line in text.splitlines() if line.strip(" ")]
