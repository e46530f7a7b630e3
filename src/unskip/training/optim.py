"""Optimisers and learning-rate schedules from a recipe, all PyTorch's own; every schedule moves once per step."""

from __future__ import annotations

from typing import Any

from torch import nn, optim
from torch.optim import lr_scheduler

from unskip.nets.dirac import DiracConv2d
from unskip.recipe import Adam, Constant, Cosine, Exponential, OneCycle, Optimizer, Schedule, Step


def make_optimizer(settings: Optimizer, module: nn.Module) -> optim.Optimizer:
    """The optimiser that a recipe names, over a module's parameters that require a gradient.

    All of them are decayed, but for alpha and beta of Dirac convolutions.
    """
    free = {
        id(scale) for part in module.modules() if isinstance(part, DiracConv2d) for scale in (part.alpha, part.beta)
    }
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    undecayed = [parameter for parameter in trainable if id(parameter) in free]
    groups: list[dict[str, Any]] = [{"params": [parameter for parameter in trainable if id(parameter) not in free]}]
    if undecayed:
        groups.append({"params": undecayed, "weight_decay": 0.0})
    if isinstance(settings, Adam):
        return optim.Adam(groups, lr=settings.lr, betas=settings.betas, weight_decay=settings.weight_decay)
    return optim.SGD(
        groups,
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
