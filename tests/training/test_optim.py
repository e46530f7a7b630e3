"""Schedules against their formulas, step by step."""

import math

import pytest
import torch

from unskip.nets.dirac import DiracConv2d
from unskip.recipe import SGD, Adam, AdamW, Constant, Cosine, Exponential, OneCycle, Step, TrainingRecipe
from unskip.training.optim import make_optimizer, make_schedule

EPOCHS, STEPS = 20, 5
TOTAL = EPOCHS * STEPS


def rates(schedule, lr=0.01, warmup_epochs=0.0):
    settings = TrainingRecipe(schedule=schedule, warmup_epochs=warmup_epochs)
    optimizer = make_optimizer(SGD(lr=lr), torch.nn.Linear(1, 1))
    scheduler = make_schedule(settings, optimizer, epochs=EPOCHS, steps_per_epoch=STEPS)
    used = []
    for _ in range(TOTAL):
        used.append(optimizer.param_groups[0]["lr"])
        assert optimizer.param_groups[0]["momentum"] == 0.9, "momentum must not cycle"
        optimizer.step()
        scheduler.step()
    return used


def half_cosine(start, end, share):
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def test_onecycle_starts_at_the_optimisers_rate_of_the_paper_and_peaks_at_ten_times_that():
    used = rates(OneCycle())
    up = 0.3 * (TOTAL + 1) - 1
    for step, rate in enumerate(used):
        expected = (
            half_cosine(0.01, 0.1, step / up)
            if step <= up
            else half_cosine(0.1, 0.01 / 1e4, (step - up) / (TOTAL - up))
        )
        assert rate == pytest.approx(expected), step
    assert used[0] == pytest.approx(0.01)
    assert max(used) == pytest.approx(0.1, rel=0.01)
    assert used[-1] < 1e-3


def test_step_exponential_cosine_constant():
    for step, (stairs, decay, cosine, constant) in enumerate(
        zip(
            rates(Step(milestones=(0.5, 0.75), gamma=0.1), 0.1),
            rates(Exponential(gamma=0.9), 0.1),
            rates(Cosine(final_lr=0.02), 0.1),
            rates(Constant(), 0.1),
            strict=True,
        )
    ):
        epoch = step // STEPS
        assert stairs == pytest.approx(0.1 * 0.1 ** ((epoch >= 10) + (epoch >= 15)))
        assert decay == pytest.approx(0.1 * 0.9**epoch)
        assert cosine == pytest.approx(half_cosine(0.1, 0.02, step / TOTAL))
        assert constant == 0.1


def test_optimisers_have_the_recipes_settings():
    layer = torch.nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    sgd = make_optimizer(SGD(), layer)
    assert isinstance(sgd, torch.optim.SGD)
    group = sgd.param_groups[0]
    assert group["params"] == [layer.weight]
    assert (group["momentum"], group["nesterov"], group["weight_decay"]) == (0.9, True, 5e-4)
    adam = make_optimizer(Adam(lr=1e-4, betas=(0.8, 0.99), weight_decay=0.1), layer)
    assert isinstance(adam, torch.optim.Adam)
    group = adam.param_groups[0]
    assert (group["lr"], group["betas"], group["weight_decay"]) == (1e-4, (0.8, 0.99), 0.1)


@pytest.mark.parametrize(
    "schedule", [OneCycle(), Step(milestones=(0.1, 0.5)), Exponential(gamma=0.9), Cosine(final_lr=0.02), Constant()]
)
def test_a_warm_up_multiplies_every_schedule_by_a_line(schedule):
    cold, warm = rates(schedule, 0.1), rates(schedule, 0.1, warmup_epochs=3.2)  # 16 steps
    for step, (rate, expected) in enumerate(zip(warm, cold, strict=True)):
        assert rate == pytest.approx(expected * min(1, (step + 1) / 16)), step
    assert warm[16:] == cold[16:]


def test_a_warm_up_goes_on_where_it_was():
    settings = TrainingRecipe(schedule=Exponential(gamma=0.9), warmup_epochs=4)

    def warmed_up():
        optimizer = make_optimizer(SGD(lr=0.1), torch.nn.Linear(1, 1))
        return optimizer, make_schedule(settings, optimizer, epochs=EPOCHS, steps_per_epoch=STEPS)

    def stepped(optimizer, schedule, count):
        for _ in range(count):
            optimizer.step()
            schedule.step()
        return optimizer.param_groups[0]["lr"]

    expected = stepped(*warmed_up(), 13)
    optimizer, schedule = warmed_up()
    stepped(optimizer, schedule, 7)
    other, resumed = warmed_up()
    other.load_state_dict(optimizer.state_dict())
    resumed.load_state_dict(schedule.state_dict())
    assert stepped(other, resumed, 6) == expected


def test_adamw_decays_kernels_alone():
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    optimizer = make_optimizer(AdamW(lr=0.1, weight_decay=0.5), net)
    assert isinstance(optimizer, torch.optim.AdamW)
    kernels, rest = optimizer.param_groups
    assert [id(p) for p in kernels["params"]] == [id(net[0].weight)]
    assert (kernels["weight_decay"], rest["weight_decay"], len(rest["params"])) == (0.5, 0.0, 3)


def test_dirac_scales_are_not_decayed():
    conv = DiracConv2d(in_channels=2, out_channels=2, kernel_size=3)
    optimizer = make_optimizer(SGD(lr=1.0), torch.nn.Sequential(conv, torch.nn.Conv2d(2, 2, 1)))
    decayed, scales = optimizer.param_groups
    assert [id(p) for p in scales["params"]] == [id(conv.alpha), id(conv.beta)]
    assert (decayed["weight_decay"], scales["weight_decay"]) == (5e-4, 0.0)
    assert len(decayed["params"]) == 4
