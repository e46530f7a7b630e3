"""The memory that a planner sets aside for feature maps, in a file of this network."""

import copy
import json

from unskip.errors import UnskipError, first_line
from unskip.measures.base import NO_NET, Measure, MeasuredFile
from unskip.records import Figure


class Arena(Measure):
    """What ExecuTorch's planner reserves for feature maps, float32, portable kernels."""

    title = "Arena"
    unit = "bytes"
    kind = "memory"
    order = 31
    quick = False

    def __init__(self) -> None:
        self._planned: dict[object, Figure] = {}

    def of_file(self, file: MeasuredFile) -> Figure | None:
        """The plan in the file itself, where one is there; else what a file of this network would have.

        None where a compiler says what a device needs.
        """
        if file.estimate is not None:
            return None
        place = _same_plan(file), file.net.input_shape, file.batch_size
        if place not in self._planned:
            try:
                self._planned[place] = _planned(file)
            except UnskipError as error:
                self._planned[place] = Figure(unknown=str(error))
            except Exception as error:  # ExecuTorch does not have every operation
                self._planned[place] = Figure(unknown=f"ExecuTorch cannot plan it: {first_line(error)}")
        return self._planned[place]


def _planned(file: MeasuredFile) -> Figure:
    from unskip.export import arena_of_file, planned_arena

    if _has_own_plan(file):
        planned = arena_of_file(file.path)
        if planned is not None:
            return Figure(value=planned)
    net = file.net.net
    if net is None:
        return Figure(unknown=NO_NET)
    if file.net.precision != "float32":
        return Figure(unknown="planned for float32 only")
    if next(net.parameters()).is_meta:
        net = copy.deepcopy(net).to_empty(device="cpu")
    return Figure(value=planned_arena(net, file.net.input_shape, file.batch_size))


def _has_own_plan(file: MeasuredFile) -> bool:
    return file.proof is None and file.path.suffix.lower() == ".pte"


def _same_plan(file: MeasuredFile) -> str:
    """Equal for files whose plan is the same."""
    net = file.net.net
    if _has_own_plan(file) or net is None or net.spec is None:
        return str(file.path)
    return json.dumps([net.spec.to_json(), file.net.precision])
