"""The library's sentences name arguments and keys; commands say them as their readers type them."""

import ast
import re
from collections.abc import Iterator
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
        ("evaluate", "`target` is no net", "TARGET is no net"),
        ("export", "say it with `target`", "say it with --target"),
        ("run", "give `teacher.accept_weak`", "give --set teacher.accept_weak=.."),
        ("run", "give `data.workers=0`", "give --set data.workers=0"),
        ("run", "add `teacher.normalization={mean: [0.5]}`", "add --set 'teacher.normalization={mean: [0.5]}'"),
        ("export", "`batch_size` 9", "--batch 9"),
        ("evaluate", "give `data.workers=0`", "give --set data.workers=0"),
        ("evaluate", "set `teacher.accept_weak`", "set `teacher.accept_weak`"),
        ("inspect", "set `teacher.accept_weak`", "set `teacher.accept_weak`"),
        ("run", "see `torch.compile`, `unskip recipes`", "see `torch.compile`, `unskip recipes`"),
        ("report", "name others with `data`", "name others with `data`"),
    ],
)
def test_a_sentence_in_the_words_of_a_command(command, sentence, typed):
    assert as_typed(sentence, typer.main.get_command(app()).commands[command].params) == typed


WRITES_FLAGS = {
    "report/svg.py": "CSS has variables",
    "runtimes/_vela.py": "calls a compiler",
    "search/recipes.py": "commands to copy",
    "study/task.py": "calls a command",
}


def texts_of(path: Path) -> Iterator[str]:
    """The texts in a file's code; docstrings are none."""
    tree = ast.parse(path.read_text())
    docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings:
            yield node.value


def test_only_the_command_line_speaks_of_flags():
    """A flag stands nowhere else but in a whole command."""
    speaking = {}
    for path in sorted(ROOT.rglob("*.py")):
        name = str(path.relative_to(ROOT))
        if name.startswith(("cli/", *WRITES_FLAGS)):
            continue
        found = [text for text in texts_of(path) if re.search(r"--[a-z]", re.sub(r"`unskip [^`]*`", "", text))]
        if found:
            speaking[name] = found
    assert not speaking
