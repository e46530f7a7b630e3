"""Files that an export wrote, as a table with a row for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from unskip.export import Exported


def show_exports(written: Sequence[Exported], console: Console) -> None:
    """Print format, precision, size, parity and scores of every file, and what must be known to read them."""
    from unskip.measures import measures
    from unskip.terminal import bare_table
    from unskip.units import byte_unit

    if not written:
        return
    unit = byte_unit(each.file_bytes for each in written)
    several = len({each.precision for each in written}) > 1
    heads = ["~File\n", "<Format\n", *["<Precision\n"] * several, f"Size\n{unit.name}", "Parity\nrelative"]
    scored = next((each.scores.file for each in written if each.scores), None)
    if scored:
        title = measures()[scored.metric].title
        heads += [f"{title}, %\nof the file", f"{title}, %\nof the net"]
    rows = []
    for each in written:
        cells = [_name(each), each.format, *[each.precision] * several]
        cells += [unit.number(each.file_bytes), f"{each.max_difference:.1e}"]
        if scored:
            pair = (each.scores.file, each.scores.net) if each.scores else ()
            cells += [f"{100 * score.value:.2f}" for score in pair] or ["–", "–"]
        rows.append(cells)
    console.print(bare_table(None, heads, rows))
    for remark in _remarks(written):
        console.print(Text(f"{remark}.", style="dim"))


def _name(each: Exported) -> str:
    return f"{each.path.name} at depth {each.depth}" if each.depth else each.path.name


def _remarks(written: Sequence[Exported]) -> Iterator[str]:
    """What stands in no column, once where it is true of all files."""
    takes = {
        each.format: f"{each.runtime}, {'any batch' if each.batch_size is None else f'batch {each.batch_size}'}"
        for each in written
    }
    yield f"Run by {'; '.join(takes.values())}"
    precisions = {each.precision for each in written}
    if len(precisions) == 1:
        yield f"Precision: {precisions.pop()}"
    allowed = next((f", at most {each.tolerance:.0e} in float32" for each in written if each.tolerance is not None), "")
    images = f"{written[0].images} image{'s' * (written[0].images != 1)}"
    yield f"Parity: the largest difference to the network's answers to {images}, as a part of the largest{allowed}"
    for share in dict.fromkeys(each.agreement for each in written if not each.constant):
        files = [_name(each) for each in written if each.agreement == share and not each.constant]
        whose = "" if len(files) == len(written) else f" ({', '.join(files)})"
        yield f"The files agree with the network by {100 * share:.2f} % there{whose}"
    if any(each.constant for each in written):
        yield "That they agree says nothing: the network answers the same to every image and has learned nothing"
    scores = next((each.scores for each in written if each.scores), None)
    if scores:
        yield f"Scores: on {scores.file.images:,} test images"
    for each in written:
        words = each.eight_bits()
        if words:
            yield f"{_name(each)}: {words}"
