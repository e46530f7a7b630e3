"""Optimisers and learning-rate schedules from a recipe, all PyTorch's own; every schedule moves once per step."""

from __future__ import annotations

from typing import Any

from torch import nn, optim
from torch.optim import lr_scheduler

from unskip.nets.dirac import DiracConv2d
from unskip.recipe import (
    SGD,
    AdamW,
    Constant,
    Cosine,
    Exponential,
    OneCycle,
    Optimizer,
    Schedule,
    Step,
    TrainingRecipe,
)


def make_optimizer(settings: Optimizer, module: nn.Module, *, fused: bool = False) -> optim.Optimizer:
    """The optimiser that a recipe names, over a module's parameters that require a gradient.

    All of them are decayed, but for alpha and beta of Dirac convolutions; with AdamW only kernels are. ``fused`` takes
    PyTorch's one kernel for all of them, which differs in the last bits.
    """
    undecayed = {
        id(scale) for part in module.modules() if isinstance(part, DiracConv2d) for scale in (part.alpha, part.beta)
    }
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if isinstance(settings, AdamW):
        undecayed |= {id(parameter) for parameter in trainable if parameter.ndim < 2}
    groups: list[dict[str, Any]] = [{"params": [each for each in trainable if id(each) not in undecayed]}]
    free = [each for each in trainable if id(each) in undecayed]
    if free:
        groups.append({"params": free, "weight_decay": 0.0})
    if isinstance(settings, SGD):
        return optim.SGD(
            groups,
            lr=settings.lr,
            momentum=settings.momentum,
            nesterov=settings.nesterov,
            weight_decay=settings.weight_decay,
            fused=fused or None,
        )
    kind = optim.AdamW if isinstance(settings, AdamW) else optim.Adam
    return kind(groups, lr=settings.lr, betas=settings.betas, weight_decay=settings.weight_decay, fused=fused or None)


def make_schedule(
    settings: TrainingRecipe, optimizer: optim.Optimizer, *, epochs: int, steps_per_epoch: int
) -> lr_scheduler.LRScheduler | WarmedUp:
    """The schedule that a recipe names, warmed up; call its ``step()`` after every step of the optimiser."""
    schedule = _schedule(settings.schedule, optimizer, epochs, steps_per_epoch)
    steps = round(settings.warmup_epochs * steps_per_epoch)
    return WarmedUp(schedule, optimizer, steps) if steps else schedule


class WarmedUp:
    """A schedule whose rate is multiplied by ``(step + 1) / steps`` in its first ``steps`` steps."""

    def __init__(self, schedule: lr_scheduler.LRScheduler, optimizer: optim.Optimizer, steps: int) -> None:
        self.schedule = schedule
        self.optimizer = optimizer
        self.steps = steps
        self._multiply()

    def step(self) -> None:
        """Move to the next step's rate; schedules compute it from the last one, which is theirs alone."""
        self._set(1.0)
        self.schedule.step()
        self._multiply()

    def state_dict(self) -> dict[str, Any]:
        """The schedule's: its own rates and the step."""
        state: dict[str, Any] = self.schedule.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.schedule.load_state_dict(state)
        self._multiply()

    def _multiply(self) -> None:
        self._set(min(1.0, (self.schedule.last_epoch + 1) / self.steps))

    def _set(self, factor: float) -> None:
        rates = self.schedule.get_last_lr()
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = factor * rate


def _schedule(
    settings: Schedule, optimizer: optim.Optimizer, epochs: int, steps_per_epoch: int
) -> lr_scheduler.LRScheduler:
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
