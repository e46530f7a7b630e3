"""Optimisers and learning-rate schedules from a recipe, all PyTorch's own; every schedule moves once per step."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn, optim
from torch.optim import lr_scheduler

from unskip.recipe import Adam, Constant, Cosine, Exponential, OneCycle, Optimizer, Schedule, Step

__all__ = ["make_optimizer", "make_schedule"]


def make_optimizer(settings: Optimizer, parameters: Iterable[nn.Parameter]) -> optim.Optimizer:
    """The optimiser that a recipe names, over the parameters that require a gradient."""
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    if isinstance(settings, Adam):
        return optim.Adam(trainable, lr=settings.lr, betas=settings.betas, weight_decay=settings.weight_decay)
    return optim.SGD(
        trainable,
        lr=settings.lr,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        weight_decay=settings.weight_decay,
    )


def make_schedule(
    settings: Schedule, optimizer: optim.Optimizer, *, epochs: int, steps_per_epoch: int
) -> lr_scheduler.LRScheduler:
    """The schedule that a recipe names; call its ``step()`` after every step of the optimiser."""
    steps = epochs * steps_per_epoch
    match settings:
        case OneCycle():
            return lr_scheduler.OneCycleLR(
                optimizer,
                max_lr=settings.max_lr,
                total_steps=steps + 1,  # the last step's successor is asked for too
                pct_start=settings.warmup,
                div_factor=settings.div_factor,
                final_div_factor=settings.final_div_factor,
                cycle_momentum=False,
            )
        case Step():
            milestones = [round(share * epochs) * steps_per_epoch for share in settings.milestones]
            return lr_scheduler.MultiStepLR(optimizer, milestones, settings.gamma)
        case Exponential():
            return lr_scheduler.StepLR(optimizer, steps_per_epoch, settings.gamma)
        case Cosine():
            return lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps, eta_min=settings.final_lr)
        case Constant():
            return lr_scheduler.ConstantLR(optimizer, factor=1.0)
