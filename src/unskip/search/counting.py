"""What is said of students without a file of each."""

from __future__ import annotations

from functools import cache

from unskip.measures import Measure, MeasuredNet, measures
from unskip.nets import StagedNet
from unskip.records import Figure
from unskip.search.budget import Budget
from unskip.search.student import Student
from unskip.surgery import edited


class Counting:
    """What can be said of students without a file: the figures that students have, and those of measures of networks.

    ``most`` are the limits of such figures, ``most_measured`` those that only a file tells.
    """

    def __init__(self, net: StagedNet, input_shape: tuple[int, int, int], budget: Budget, own: Student) -> None:
        self.budget = budget
        self._net = net
        self._shape = input_shape
        self.figures = cache(self._figures)
        every, quick = measures(), own.figures(budget.bytes_per_element)
        limited = [every[name] for name in budget.most if name in every and name not in quick]
        self._by_net = [measure for measure in limited if self._of_net(measure, own)]
        counted = {*quick, *(measure.name for measure in self._by_net)}
        self.most = {name: limit for name, limit in budget.most.items() if name in counted}
        self.most_measured = {name: limit for name, limit in budget.most.items() if name not in counted}

    def share_used(self, student: Student) -> float:
        """The largest ratio of a figure to its limit; 0 without limits of such figures."""
        figures = self.figures(student)
        return max((figures[name] / limit for name, limit in self.most.items()), default=0.0)

    def limited(self, student: Student) -> list[float]:
        """The limited figures; of a measured one only that it is hardly lower with no fewer MACs and shortcuts."""
        figures = self.figures(student)
        unknown = [student.macs, student.shortcuts] if self.most_measured else []
        return [*(figures[name] for name in self.most), *unknown]

    def _figures(self, student: Student) -> dict[str, float]:
        """What is counted of a student, by measure."""
        by_net = {measure.name: self._of_net(measure, student) for measure in self._by_net}
        return student.figures(self.budget.bytes_per_element) | by_net

    def _of_net(self, measure: Measure, student: Student) -> float:
        net = edited(self._net, student.edits, seed=0)
        figure = measure.of_net(MeasuredNet(net, self._shape, self.budget.element)) or Figure()
        return figure.value or 0.0
