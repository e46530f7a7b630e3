"""Two processes that share a batch have the gradients of one process, for every method.

The networks have no BatchNorm, which in train mode would take its statistics from each process's share. Two processes
have bit by bit the mean of the gradients that one process has of the two halves. Of the whole batch it has the same up
to rounding, since a sum over a batch is rounded in another order than the sum of two sums.
"""

import os

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from unskip import make_net
from unskip.edits import fold_batchnorm, without_shortcuts
from unskip.methods import METHODS, method_from
from unskip.methods.base import only_trainable
from unskip.tasks import Classification

BATCH = 8


def phases_of(name):
    """All phases of a method; a plain student where shortcuts go, a residual one where it trains its own depths."""
    torch.manual_seed(0)
    teacher = make_net("resnet14", {"width": 4, "num_classes": 3})
    for _ in range(3):
        teacher(torch.randn(8, 3, 16, 16))
    teacher = fold_batchnorm(teacher)
    requested = fold_batchnorm(make_net("resnet14", {"width": 4, "num_classes": 3}))
    method = method_from(name, {})
    student = method.student_of(teacher, requested if name == "embedded_kd" else without_shortcuts(requested))
    phases = method.phases(teacher, student, 10, Classification())
    for phase in phases:
        phase.objective.train()
        for layer in phase.objective.modules():  # of connectors
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()
    return phases


def gradients_of(phase, images, labels, wrap=lambda objective: objective):
    with only_trainable(phase):
        objective = wrap(phase.objective)
        phase.objective.zero_grad()
        sum(objective(images, labels, 0.1).values()).backward()
        return {name: p.grad.clone() for name, p in phase.trainable.named_parameters() if p.grad is not None}


def half(rank):
    return slice(rank * BATCH // 2, (rank + 1) * BATCH // 2)


def one_of_two(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    images, labels = batch()
    mine = half(rank)
    found = {
        name: [gradients_of(phase, images[mine], labels[mine], DistributedDataParallel) for phase in phases_of(name)]
        for name in METHODS
    }
    if rank == 0:
        torch.save(found, os.path.join(folder, "gradients.pt"))
    dist.barrier()
    dist.destroy_process_group()


def batch():
    generator = torch.Generator().manual_seed(7)
    images = torch.randn(BATCH, 3, 16, 16, generator=generator)
    return images, torch.randint(3, (BATCH,), generator=generator)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    mp.spawn(one_of_two, args=(str(folder),), nprocs=2)
    return torch.load(folder / "gradients.pt")


@pytest.mark.parametrize("name", list(METHODS))
def test_gradients_are_those_of_one_process(name, shared):
    images, labels = batch()
    for phase, gradients in zip(phases_of(name), shared[name], strict=True):
        alone = gradients_of(phase, images, labels)
        halves = [gradients_of(phase, images[half(rank)], labels[half(rank)]) for rank in (0, 1)]
        assert alone.keys() == gradients.keys()
        assert any(bool(gradient.any()) for gradient in alone.values())
        for key, gradient in alone.items():
            assert torch.equal(gradients[key], (halves[0][key] + halves[1][key]) / 2), f"{phase.name} {key}"
            assert (gradients[key] - gradient).abs().max() <= 1e-5 * gradient.abs().max() + 1e-9, f"{phase.name} {key}"
