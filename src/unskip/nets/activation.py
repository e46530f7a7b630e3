"""A network seen so that its last stage ends in front of its last activation."""

from __future__ import annotations

import copy

from torch import nn

from unskip.errors import UnskipError
from unskip.nets.fading import FadingResidual
from unskip.nets.functions import is_activation
from unskip.nets.layers import sequence
from unskip.nets.staged_net import Joining, Residual, StagedNet


def activation_in_head(net: StagedNet) -> StagedNet:
    """The same function with the last stage's last activation at the head's beginning, all parameters shared.

    The last stage's map is then what that activation reads, and the activation does not overwrite it. Keys of the state
    dict stay. Raises `UnskipError` where the last stage ends without an activation: with the sum of a pre-activation
    block, or with a linear bottleneck.
    """
    last, head = net.stage_names[-1], net.part_names[-1]
    if last in net.handed_on:
        raise UnskipError(f"the head reads the map of {last} behind its activation too; tap it as it is (post_relu)")
    split = _without_last_activation(net.get_submodule(last))
    if split is None:
        raise UnskipError(
            f"{last} does not end with an activation (its last block is a pre-activation block or a linear "
            "bottleneck), so its map is one before an activation already; tap it as it is (post_relu)"
        )
    before, activation = split
    behind = net.get_submodule(head)
    opened = type(behind) is nn.Sequential or isinstance(behind, Joining)
    layers = {"before_head": activation, **(dict(behind.named_children()) if opened else {"head": behind})}
    parts = dict(net.named_parts())
    parts[last] = before
    parts[head] = Joining(layers, behind.reads) if isinstance(behind, Joining) else sequence(layers, behind.training)
    made = StagedNet(parts)
    made.training = net.training  # the parts keep their own modes
    return made


def _without_last_activation(module: nn.Module) -> tuple[nn.Module, nn.Module] | None:
    """A view of the module that ends before its last activation, and that activation; None if it ends without one."""
    if isinstance(module, Residual):
        if not is_activation(module.activation):
            return None
        view = type(module)(module.body, module.shortcut)
        if isinstance(module, FadingResidual):
            view.factor = module.factor
        view.training = view.activation.training = module.training
        return view, _out_of_place(module.activation)
    if type(module) is not nn.Sequential or not len(module):
        return None
    *names, last = module._modules
    children = {name: module.get_submodule(name) for name in names}
    end = module.get_submodule(last)
    if is_activation(end):
        return sequence(children, module.training), _out_of_place(end)
    split = _without_last_activation(end)
    return None if split is None else (sequence({**children, last: split[0]}, module.training), split[1])


def _out_of_place(activation: nn.Module) -> nn.Module:
    twin = copy.copy(activation)  # the same parameters, where it has any
    if hasattr(twin, "inplace"):
        twin.inplace = False  # type: ignore[assignment]
    return twin
