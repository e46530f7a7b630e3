"""How well a network, or a deployed file, does its task."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

from unskip.answers import with_each
from unskip.errors import UnskipError, first_line
from unskip.machine_memory import keep_freed_memory
from unskip.runtimes import runtime_for
from unskip.tasks import Answers, Classification, Predict, Score, Task


def evaluate(
    net: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    task: Task | None = None,
    *,
    autocast: AbstractContextManager[object] | None = None,
) -> Score:
    """How well a network in eval mode does a task, by default `Classification`, on images (B, C, H, W) and labels (B,).

    The batches are expected on the network's device. ``autocast``, say ``torch.autocast("cuda",
    torch.bfloat16)``, is entered once around it all. The modes of the network's modules are afterwards what
    they were. Raises `UnskipError` when there are no images, and for answers that are none of the task.
    """
    keep_freed_memory()
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        with torch.inference_mode(), autocast or nullcontext():
            return (task or Classification()).evaluate(net, batches)
    finally:
        for module, training in modes.items():
            module.training = training


def evaluate_file(
    path: Path, batches: Iterable[tuple[Tensor, Tensor]], task: Task | None = None, *, depth: str | None = None
) -> Score:
    """How well a deployed file does, run on the CPU by the runtime that it was written for; see :func:`evaluate`.

    The images are such as the file takes: where it normalises by itself, scaled to 0..1. ``depth`` names one of the
    networks in a file of several. Raises `UnskipError` for a file that does not take the images, or whose answers are
    none of the task.
    """
    task = task or Classification()
    return task.evaluate(file_predict(path, task, depth=depth), batches)


def file_predict(path: Path, task: Task, *, depth: str | None = None) -> Predict:
    """What a deployed file answers to images (B, C, H, W), such as it takes; it is loaded once, for the CPU.

    Raises `UnskipError`, now or when it is called, as :func:`evaluate_file` does.
    """
    runtime = runtime_for(path)
    program = runtime.load(path, depth=depth)

    def predict(images: Tensor) -> Answers:
        shape = tuple(images.shape[1:])
        if program.input_shape not in (None, shape):
            raise UnskipError(f"{path} takes images of {program.input_shape}, not of {shape}; its metadata are damaged")
        try:
            answers = with_each(torch.from_numpy, program(images.cpu().numpy()))
        except Exception as error:  # each runtime fails in ways of its own
            raise UnskipError(f"{runtime.version} cannot run {path}: {first_line(error)}") from error
        try:
            task.check(answers)
        except UnskipError as error:
            raise UnskipError(f"{path}: {error}") from error
        return answers

    return predict
