"""`unskip bench`: networks and deployed files side by side, in any runtimes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from unskip.compare.settings import Settings
from unskip.compare.targets import find_targets
from unskip.compare.test_sets import test_sets
from unskip.compare.workbench import Workbench
from unskip.errors import UnskipError
from unskip.records import Comparison


def bench(
    targets: Sequence[str],
    settings: Settings | None = None,
    *,
    image_size: tuple[int, int] | None = None,
    accuracy: bool = True,
    data: str | None = None,
    data_settings: Sequence[str] = (),
    say: Callable[[str], None] = lambda text: None,
) -> Comparison:
    """Measure targets side by side in every setting; see :func:`unskip.compare.find_targets` for what can be named.

    Networks are exported for each runtime and batch size, BatchNorm folded, images normalised outside of the file.
    ``image_size``, (height, width), is for networks by name. The files' answers are judged on the test images of the
    run that they lie in, or of ``data``, whose section ``data_settings`` change; without ``accuracy``, not at all. What
    cannot be measured has its reason in its cell. ``say`` is told what is being done.

    Raises `UnskipError` where nothing can be measured, and for a runtime, a device or a target that is not there.
    """
    tests = test_sets(accuracy=accuracy, data=data, settings=data_settings)
    with Workbench(settings or Settings(), test_set=tests, say=say) as workbench:
        comparison = workbench.measure(find_targets(targets, image_size))
    cells = [cell for group in comparison.groups for cell in group.cells]
    if all(cell.refused for cell in cells):
        raise UnskipError(f"nothing could be measured: {cells[0].refused}")
    return comparison
