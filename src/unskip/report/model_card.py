"""The model card of what a shrink made: Markdown with a front matter in the form of Hugging Face's hub.

https://huggingface.co/docs/hub/model-cards
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import yaml

from unskip.files import write_text
from unskip.records import Figure, Shrink
from unskip.report.sentences import TEMPLATES, sentences
from unskip.report.shrinks import definitions_of, shown_measures, side_by_side

_NUM_WORST = 5
_HUB_METRICS = {"top1": "accuracy"}  # the hub's word where it has one of its own


def write_model_card(folder: Path) -> Path | None:
    """Write ``README.md`` beside the ``shrink.json`` in a folder and return its path; None where nothing was made.

    Raises `UnskipError` where the folder holds no ``shrink.json``, or one that cannot be read.
    """
    record = Shrink.read(folder)
    if record.winner is None:
        return None
    path = folder / "README.md"
    write_text(path, model_card(record))
    return path


def model_card(record: Shrink) -> str:
    """The whole card; the same record gives the same text. The license is left to whoever publishes it."""
    winner, trial, answers = record.winner, record.winning_trial, record.answers
    assert winner is not None
    assert trial is not None
    tested = [each for each in answers.classes if each.images] if answers else []
    return TEMPLATES.get_template("model_card.md.j2").render(
        shrink=record,
        winner=winner,
        trial=trial,
        name=f"{record.net}, {trial.words}",
        front_matter=yaml.safe_dump(_front_matter(record), sort_keys=False, allow_unicode=True),
        beside=side_by_side(record),
        definitions=definitions_of(record),
        how=winner.preprocessing,
        file=winner.file,
        quoted_file=shlex.quote(_one_line(winner.file)),
        weights=Path(record.teacher.weights or "").name,
        command=_one_line(record.command),
        answers=answers,
        worst=sorted(tested, key=lambda each: (each.winner / each.images, each.name))[:_NUM_WORST],
        md=markdown_text,
        sentences=sentences,
    )


def _front_matter(record: Shrink) -> dict[str, Any]:
    winner, trial = record.winner, record.winning_trial
    assert winner is not None
    assert trial is not None
    task = "image-classification" if record.data.classes else "image-feature-extraction"
    dataset, metric = _slug(record.data.name), _HUB_METRICS.get(record.metric, record.metric)
    measured = [
        {"type": metric, "name": f"{record.measures[record.metric].title} of the file", "value": winner.file_score},
        *(
            {"type": name, "name": record.measures[name].title, "value": value}
            for name in shown_measures(record)
            if (value := winner.figures.get(name, Figure()).value) is not None
        ),
    ]
    result = {
        "task": {"type": task},
        "dataset": {"type": dataset, "name": _one_line(record.data.name), "split": "test"},
        "metrics": measured,
    }
    return {
        "library_name": "unskip",
        "pipeline_tag": task,
        "tags": [task, "knowledge-distillation", "model-compression", winner.format, winner.precision],
        "datasets": [dataset],
        "metrics": [metric],
        "model-index": [{"name": _one_line(f"{record.net}, {trial.words}"), "results": [result]}],
    }


def markdown_text(text: str) -> str:
    """Text as Markdown shows it, in one line: nothing in it is a mark, a link, a tag or the end of a cell."""
    return re.sub(r"([\\`*_{}\[\]<>|#~])", r"\\\1", _one_line(text))


def _one_line(text: str) -> str:
    return " ".join("".join(each if each.isprintable() else " " for each in text).split(" ")).strip()


def _slug(name: str) -> str:
    """A name as the hub's identifiers are."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "images"
