"""``unskip report``: the report of a run or a shrink, written again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unskip.cli._console import out


def report(
    folder: Annotated[Path, typer.Argument(help="The folder of a run, of `unskip shrink` or of `unskip study`.")],
) -> None:
    """Write the report again from the results in a folder, and print where it is.

    For `unskip shrink` also the model card, for a study also CSV, LaTeX and Markdown.

    Example: `unskip report runs/demo`.
    """
    from unskip.report import write_model_card, write_report, write_study

    if (folder / "study.json").is_file():
        out.print(str(write_study(folder)), highlight=False, soft_wrap=True)
        return
    out.print(str(write_report(folder)), highlight=False, soft_wrap=True)
    if (folder / "shrink.json").is_file() and (card := write_model_card(folder)):
        out.print(str(card), highlight=False, soft_wrap=True)
