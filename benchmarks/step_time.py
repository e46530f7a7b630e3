"""The time of a training step of every method over its floor, and its peak memory, on this machine.

The floor of a step is what cannot be left out: the teacher's forward pass, the student's forward and backward passes,
and the optimiser's step; for `joint_rd` also the forward pass of every hybrid's teacher stages and the gradient of
their input; for `embedded_kd` the forward and backward passes of every depth. Floors compute cross-entropy only, have
no distillation loss, and run their networks one after the other. Step and floor alternate, so every ratio comes from
the rounds of one measurement; medians, and the 10th and 90th percentile over the rounds.

    python benchmarks/step_time.py --nets resnet18-cifar resnet34-cifar --width 16 --batch-size 64
    python benchmarks/step_time.py --profile align_kd       # where the step's time goes, operator by operator

Peak memory is that of a process which does the steps of one method and nothing else: on a GPU what PyTorch allocated at
most, on the CPU the rise of the resident set over what it was before the first step.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.profiler import ProfilerActivity, profile

from unskip.environment import describe_environment
from unskip.machine_memory import keep_freed_memory
from unskip.methods import METHODS, method_from
from unskip.methods.base import FrozenTeacher, Method, Phase
from unskip.methods.embedded_kd import EmbeddedKD
from unskip.methods.fitnets import _Hint
from unskip.methods.joint_rd import JointRD
from unskip.nets import StagedNet, make_net
from unskip.recipe import SGD, TrainingRecipe
from unskip.surgery import without_shortcuts
from unskip.tasks import Classification
from unskip.training.device import describe_numerics, uses_bf16
from unskip.training.optim import make_optimizer

Step = Callable[[], None]


class Setup:
    """One network's teacher and students, images, and the precision of a training on this machine."""

    def __init__(self, net: str, width: int, batch_size: int, side: int) -> None:
        settings = TrainingRecipe(channels_last=True)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.bf16 = uses_bf16(settings)
        self.format = torch.channels_last
        torch.manual_seed(0)
        self.teacher = self._placed(make_net(net, {"width": width, "num_classes": 10}))
        self.images = torch.randn(batch_size, 3, side, side, device=self.device).to(memory_format=self.format)
        self.labels = torch.randint(10, (batch_size,), device=self.device)

    def _placed(self, net: StagedNet) -> StagedNet:
        return net.to(self.device).to(memory_format=self.format)  # type: ignore[call-overload]

    def prepared(self, method: Method) -> tuple[StagedNet, Sequence[Phase]]:
        """A method's student and phases: a residual student where depth is the matter, else a plain one."""
        assert self.teacher.spec is not None
        requested = make_net(self.teacher.spec.source, self.teacher.spec.options)
        if method.name not in ("embedded_kd", "stagewise_kd"):
            requested = without_shortcuts(requested)
        student = self._placed(method.student_of(self.teacher, requested))
        phases = method.phases(self.teacher, student, 60, Classification())
        for phase in phases:
            phase.objective.to(self.device)
        return student, phases

    def step(self, phase: Phase) -> Step:
        """A step of a phase as the training loop does it."""
        only_trainable(phase)
        phase.objective.train()

        def loss() -> Tensor:
            terms: dict[str, Tensor] = phase.objective(self.images, self.labels, 0.1)
            return torch.stack(list(terms.values())).sum()

        return self.stepping(phase.trainable, loss)

    def stepping(self, trainable: nn.Module, loss: Callable[[], Tensor]) -> Step:
        """Forward and backward pass of a loss, and the optimiser's step."""
        optimizer = make_optimizer(SGD(lr=1e-6), trainable)

        def step() -> None:
            optimizer.zero_grad()
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                total = loss()
            total.backward()
            optimizer.step()

        return step

    def floor(self, method: Method, place: int) -> Step:
        """The floor of a method's phase, with a student of its own."""
        student, phases = self.prepared(method)
        phase = phases[place]
        student.train()
        if isinstance(method, EmbeddedKD):
            depths = [student, *(student.at_depth(*blocks) for blocks in method.depths_of(student))]
            return self.stepping(student, lambda: _sum([self._ce(net(self.images)) for net in depths]))
        trained = [index for index, part in enumerate(student) if phase.trainable is part]
        if trained:  # one part behind finished ones
            (last,) = trained
            teacher = FrozenTeacher(self.teacher[: last + 1]) if last < len(student) - 1 else None
            part, prefix = student[last], student[:last].eval()
            return self.stepping(part, lambda: self._front_floor(teacher, part, prefix))
        if isinstance(phase.objective, _Hint):
            guided = student[: phase.objective.num_guided]
            front = FrozenTeacher(self.teacher[: phase.objective.num_guided])
            return self.stepping(guided, lambda: self._front_floor(front, guided))
        whole = FrozenTeacher(self.teacher) if method.needs_teacher else None
        if isinstance(method, JointRD):
            assert whole is not None
            return self.stepping(student, lambda: self._joint_floor(whole, student))
        return self.stepping(student, lambda: self._whole_floor(whole, student))

    def _ce(self, logits: Tensor) -> Tensor:
        return cross_entropy(logits.float(), self.labels)

    def _whole_floor(self, teacher: FrozenTeacher | None, student: StagedNet) -> Tensor:
        if teacher is not None:
            teacher(self.images)
        return self._ce(student(self.images))

    def _front_floor(self, teacher: FrozenTeacher | None, front: nn.Module, prefix: nn.Module | None = None) -> Tensor:
        """The teacher as far as the phase needs it, the student's finished parts, and those that train."""
        if teacher is not None:
            teacher(self.images)
        with torch.no_grad():
            x = prefix(self.images) if prefix is not None else self.images
        output: Tensor = front(x)
        return self._ce(output) if output.dim() == 2 else output.float().mean()

    def _joint_floor(self, teacher: FrozenTeacher, student: StagedNet) -> Tensor:
        """Hybrids one by one, each behind the student's map, so that the gradient reaches the map."""
        teacher(self.images)
        maps, logits = student.features(self.images)
        first = student.part_names.index(student.stage_names[0]) + 1
        hybrids = [teacher.net[first + place :](found) for place, found in enumerate(maps[:-1])]
        return _sum([self._ce(out) for out in (logits, *hybrids)])


def _sum(losses: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(losses)).sum()


def only_trainable(phase: Phase) -> None:
    """As the training loop does: no gradients for what the phase does not train."""
    trained = {id(parameter) for parameter in phase.trainable.parameters()}
    for parameter in phase.objective.parameters():
        parameter.requires_grad_(id(parameter) in trained)


def seconds(step: Step, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def spread(values: Sequence[float]) -> str:
    low, *_, high = statistics.quantiles(values, n=10)
    return f"{statistics.median(values):.3f} ({low:.3f} - {high:.3f})"


def measure(arguments: argparse.Namespace, net: str) -> None:
    setup = Setup(net, arguments.width, arguments.batch_size, arguments.side)
    medians: dict[str, float] = {}
    print(f"{net}, width {arguments.width}, batch {arguments.batch_size}, {arguments.side} px")
    print(f"{'method':24}{'step, ms':>10}{'floor, ms':>11}  step / floor (10-90 %)     peak, MiB")
    for name in arguments.methods:
        method = method_from(name, {})
        for place, phase in enumerate(setup.prepared(method)[1]):
            both = setup.step(phase), setup.floor(method, place)
            for step in both * 2:
                step()
            rounds = [[seconds(step, setup.device) for step in both] for _ in range(arguments.repeats)]
            times, floors = zip(*rounds, strict=True)
            medians.setdefault(name, statistics.median(times))
            ratio = spread([time / floor for time, floor in rounds])
            label = name if phase.name == name else f"{name} {phase.name}"
            print(
                f"{label:24}{1e3 * statistics.median(times):10.1f}{1e3 * statistics.median(floors):11.1f}  {ratio:26}"
                f"{peak_of(arguments, net, name, place) / 2**20:10.0f}",
                flush=True,
            )
    if {"align_kd", "joint_rd"} <= medians.keys():
        print(f"align_kd / joint_rd: {medians['align_kd'] / medians['joint_rd']:.3f}")
    print()


def peak_of(arguments: argparse.Namespace, net: str, name: str, place: int) -> int:
    """Peak memory, in bytes, of a fresh process that does three steps of one phase."""
    given = [f"--{key}={getattr(arguments, key)}" for key in ("width", "side")]
    command = [sys.executable, __file__, "--nets", net, *given, f"--batch-size={arguments.batch_size}"]
    command += [f"--threads={arguments.threads}", "--methods", name, f"--peak-of={place}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(json.loads(done.stdout))


def print_peak(arguments: argparse.Namespace) -> None:
    setup = Setup(arguments.nets[0], arguments.width, arguments.batch_size, arguments.side)
    step = setup.step(setup.prepared(method_from(arguments.methods[0], {}))[1][arguments.peak_of])
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far counts no more
    before = _resident("VmRSS")
    for _ in range(3):
        step()
    print(torch.cuda.max_memory_allocated() if setup.device.type == "cuda" else _resident("VmHWM") - before)


def _resident(field: str) -> int:
    """A field of Linux's account of this process, in bytes: VmRSS now, VmHWM at most."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


def print_profile(arguments: argparse.Namespace, net: str) -> None:
    setup = Setup(net, arguments.width, arguments.batch_size, arguments.side)
    step = setup.step(setup.prepared(method_from(arguments.profile, {}))[1][0])
    for _ in range(3):
        step()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if setup.device.type == "cuda" else [])]
    with profile(activities=activities) as found:
        for _ in range(arguments.repeats):
            step()
    order = f"self_{setup.device.type}_time_total"
    print(found.key_averages().table(sort_by=order, row_limit=25, max_name_column_width=40))


def main() -> None:
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    if arguments.peak_of is not None:
        print_peak(arguments)
        return
    for key, value in describe_environment().items():
        print(f"{key}: {value}")
    print(f"numerics: {describe_numerics(TrainingRecipe(channels_last=True))}, threads: {arguments.threads}")
    print(f"command: python {shlex.join(sys.argv)}\n")
    for net in arguments.nets:
        if arguments.profile:
            print_profile(arguments, net)
        else:
            measure(arguments, net)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", default=["resnet18-cifar", "resnet34-cifar"])
    parser.add_argument("--methods", nargs="+", default=sorted(METHODS), choices=sorted(METHODS))
    parser.add_argument("--width", type=int, default=16, help="channels of the first stage; the papers have 64")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--profile", metavar="METHOD", choices=sorted(METHODS))
    parser.add_argument("--peak-of", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
