"""Blocks trained on kept maps to answer as others do."""

import copy

import pytest
import torch
from torch import nn

from unskip.surgery._reconstruction import reconstruct, unexplained


def maps(count=6, size=8, channels=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(8, channels, size, size, generator=generator) for _ in range(count)]


def block(seed, channels=3, inplace=False):
    torch.manual_seed(seed)
    conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU(inplace)).eval()


def through(modules, batches):
    with torch.no_grad():
        return [nn.Sequential(*modules)(x.clone()) for x in batches]


def states(modules):
    return copy.deepcopy([module.state_dict() for module in modules])


def equal(ones, others):
    return all(torch.equal(one[key], other[key]) for one, other in zip(ones, others, strict=True) for key in one)


def test_what_is_missed_is_the_squared_error_over_the_variance():
    answers, goals = maps(seed=1), maps(seed=2)
    answer, goal = torch.cat(answers), torch.cat(goals)
    expected = ((answer - goal) ** 2).mean((0, 2, 3)).sum() / goal.var((0, 2, 3), unbiased=False).sum()
    assert unexplained(answers, goals) == pytest.approx(float(expected), rel=1e-5)
    assert unexplained([torch.zeros(2, 3, 4, 4)], [torch.zeros(2, 3, 4, 4)]) == 0.0, "nothing varies, nothing is missed"


def test_two_blocks_come_to_answer_as_two_others():
    inputs, others = maps(), [block(1), block(2)]
    blocks = [block(3), block(4)]
    goals = through(others, inputs)
    before = unexplained(through(blocks, inputs[5:]), goals[5:])
    after = reconstruct(blocks, inputs, goals, range(5), range(5, 6), passes=60)
    assert after == pytest.approx(unexplained(through(blocks, inputs[5:]), goals[5:]), rel=1e-4)
    assert after < 0.5 * before


def test_one_step_is_the_formula_s():
    """Adam's first step moves every weight by the rate, against the sign of its gradient."""
    inputs, ours, near = maps(1), block(1), block(1).train()
    near[0].weight.data += 0.05 * torch.randn(near[0].weight.shape)
    ours[1].running_var.fill_(9.0)  # too little is handed on, ..
    ours[1].momentum = 1.0  # .. which one step sets right
    goals, theirs = through([near], inputs), copy.deepcopy(ours)
    assert reconstruct([ours], inputs, goals, [0], [0], passes=1) < unexplained(through([theirs], inputs), goals)
    theirs[1].train()
    (theirs(inputs[0]) - goals[0]).square().sum().backward()
    moved = ours[0].weight.detach() - theirs[0].weight.detach()
    assert torch.equal(moved.sign(), -theirs[0].weight.grad.sign())
    assert moved.abs().max() - moved.abs().min() < 1e-6


def test_where_training_does_not_help_on_new_images_all_stays():
    inputs = maps()
    blocks = [block(1), block(2)]
    goals = [*through([block(3), block(4)], inputs[:5]), *through(blocks, inputs[5:])]
    before = states(blocks)
    assert reconstruct(blocks, inputs, goals, range(5), range(5, 6), passes=3) == 0.0
    assert equal(states(blocks), before)


def test_only_the_batches_that_are_shown_are_read_for_training():
    inputs, goals = maps(), through([block(1)], maps())
    first, second = block(2), block(2)
    reconstruct([first], inputs, goals, range(4), [5], passes=2)
    hidden = [*inputs[:4], torch.full_like(inputs[4], torch.nan), inputs[5]]
    reconstruct([second], hidden, goals, range(4), [5], passes=2)
    assert equal(states([first]), states([second])), "and the same each time"


def test_modes_flags_and_maps_stay_with_layers_that_work_in_place():
    inputs, goals = maps(), through([block(1)], maps())
    kept = [copy.deepcopy(goals), copy.deepcopy(inputs)]
    ours = nn.Sequential(nn.ReLU(inplace=True), block(2, inplace=True)).eval()
    ours[1][0].weight.requires_grad_(False)
    reconstruct([ours], inputs, goals, range(5), [5], passes=1)
    assert not any(module.training for module in ours.modules())
    assert [parameter.requires_grad for parameter in ours.parameters()] == [False, True, True]
    assert all(torch.equal(*pair) for pair in zip([*goals, *inputs], [*kept[0], *kept[1]], strict=True))


def test_what_training_breaks_is_put_back():
    blocks, inputs = [block(1)], maps()
    before, goals = states(blocks), through([block(2)], inputs)
    goals[2] = torch.full_like(goals[2], torch.nan)
    error = reconstruct(blocks, inputs, goals, range(5), [5], passes=1)
    assert equal(states(blocks), before)
    assert 0 < error < 10


def test_a_batch_of_one_pixel_has_no_statistics_to_train_with():
    blocks, one = [block(1)], [torch.ones(1, 3, 1, 1), torch.ones(1, 3, 1, 1)]
    before, goals = states(blocks), through([block(2)], one)
    assert reconstruct(blocks, one, goals, [0], [1], passes=2) == pytest.approx(
        unexplained(through(blocks, one[1:]), goals[1:])
    )
    assert equal(states(blocks), before)
