"""The library's sentences name arguments and keys; commands say them as their readers type them."""

from pathlib import Path

import pytest
import typer

import unskip
from unskip.cli import app
from unskip.cli._sentences import as_typed

ROOT = Path(unskip.__file__).parent


@pytest.mark.parametrize(
    ("command", "sentence", "typed"),
    [
        ("evaluate", "name others with `data`", "name others with --data"),
        ("fit-budget", "`latency_ratio` 2: expected a share", "--latency-ratio 2: expected a share"),
        ("fit-budget", "give `memory=4MiB`", "give --memory 4MiB"),
        ("export", "`int8` and `net`", "--int8 and --net"),
        ("export", "`target` is no net", "TARGET is no net"),
        ("run", "give `teacher.accept_weak`", "give --set teacher.accept_weak=.."),
        ("run", "give `data.workers=0`", "give --set data.workers=0"),
        ("evaluate", "give `data.workers=0`", "give --set data.workers=0"),
        ("evaluate", "set `teacher.accept_weak`", "set `teacher.accept_weak`"),
        ("inspect", "set `teacher.accept_weak`", "set `teacher.accept_weak`"),
        ("run", "see `torch.compile`, `unskip recipes`", "see `torch.compile`, `unskip recipes`"),
        ("report", "name others with `data`", "name others with `data`"),
    ],
)
def test_a_sentence_in_the_words_of_a_command(command, sentence, typed):
    assert as_typed(sentence, typer.main.get_command(app()).commands[command].params) == typed
