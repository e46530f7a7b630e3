"""What the values of a graph look like for images of several numbers and sizes, found without computing them."""

from __future__ import annotations

import copy
import operator
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from unskip.nets.shapes import meta_copy

__all__ = ["Examples", "Followed", "UnfollowableError", "random_states"]

_SHAPE_ATTRIBUTES = ("shape", "ndim")
_SHAPE_METHODS = ("size", "dim", "ndimension", "numel", "nelement")


class UnfollowableError(Exception):
    """What a value would be cannot be told from shapes."""


class Examples:
    """Images of a network: as many and as large as the one given, one more of them, and other sizes that it takes."""

    def __init__(self, net: nn.Module, images: Tensor) -> None:
        self._net = net
        self._images = images
        self._made: tuple[Tensor, ...] | None = None

    @property
    def images(self) -> tuple[Tensor, ...]:
        """On the meta device; the first two differ in the number of images alone."""
        if self._made is None:
            number, channels, height, width = self._images.shape
            sizes = [
                (2 * height, 2 * width),
                (height + height // 2, width),
                (height + 1, width + 3),
                (max(1, height // 2), max(1, width // 2)),
                (32, 32),
                (224, 192),
            ]
            twin, own = meta_copy(self._net), self._images.to("meta")
            others = [
                torch.empty(number, channels, *size, device="meta", dtype=own.dtype)
                for size in dict.fromkeys(sizes)
                if size != (height, width)
            ]
            if _runs(twin, own):  # else nobody knows which sizes it takes
                others = [images for images in others if _runs(twin, images)]
            self._made = (own, torch.cat([own, own[:1]]), *others)
        return self._made


def _runs(net: nn.Module, images: Tensor) -> bool:
    try:
        with torch.no_grad(), torch.device("meta"), _leaving_randomness_alone():
            net(images)
    except Exception:  # whatever a network of others raises
        return False
    return True


class Followed:
    """The values of a graph for several examples, tensors on the meta device, each found when it is asked for."""

    def __init__(self, root: nn.Module, examples: Examples) -> None:
        self.examples = examples
        self._modules = dict(root.named_modules(remove_duplicate=False))
        self._tensors = {
            **dict(root.named_parameters(remove_duplicate=False)),
            **dict(root.named_buffers(remove_duplicate=False)),
        }
        self._root = root
        self._twins: dict[str, nn.Module] = {}
        self._known: dict[fx.Node, list[Any]] = {}

    def of(self, node: fx.Node) -> list[Any]:
        """One value for each example, in order; :class:`UnfollowableError` itself for one that cannot be known."""
        if node not in self._known:
            for earlier in node.graph.nodes:  # in order, since some may change others in place
                if earlier not in self._known and earlier.op != "output":
                    self._known[earlier] = self._values(earlier)
                if earlier is node:
                    break
        return self._known[node]

    def constant(self, node: fx.Node) -> Any:
        """What a number, a shape or a truth is for all examples; else raises `UnfollowableError` with the reason."""
        first, *others = self.of(node)
        if first is UnfollowableError:
            raise UnfollowableError("it decides by something that is not known before it runs")
        if isinstance(first, Tensor):
            raise UnfollowableError("it decides by the values of a tensor")
        if not _reads_only_shapes(node):
            raise UnfollowableError("it decides by more than the shapes of its inputs")
        known = [value for value in others if value is not UnfollowableError]
        if others and others[0] is not UnfollowableError and others[0] != first:
            raise UnfollowableError("it decides by the number of images in the batch")
        if any(value != first for value in known):
            raise UnfollowableError("it does something else for images of another size")
        return first

    def _values(self, node: fx.Node) -> list[Any]:
        found = []
        with torch.no_grad(), torch.device("meta"), _leaving_randomness_alone():
            for number, images in enumerate(self.examples.images):
                try:
                    found.append(self._value(node, number, images))
                except Exception:  # whatever an operation of others raises
                    found.append(UnfollowableError)
        return found

    def _value(self, node: fx.Node, number: int, images: Tensor) -> Any:
        if node.op == "placeholder":
            return images
        if node.op == "get_attr":
            target = str(node.target)
            value = self._tensors.get(target)
            value = operator.attrgetter(target)(self._root) if value is None else value
            return value.to("meta") if isinstance(value, Tensor) else value
        args, kwargs = fx.node.map_arg((node.args, dict(node.kwargs)), lambda source: self._known_value(source, number))
        if node.op == "call_function":
            assert callable(node.target)
            return node.target(*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        twin = self._twin(str(node.target))
        try:
            return twin.forward(*args, **kwargs)
        except Exception:  # some modules need values
            with torch.device("cpu"):
                given = fx.node.map_aggregate(args, _with_values)
                found = copy.deepcopy(self._modules[str(node.target)]).eval().forward(*given, **kwargs)
            return found.to("meta")

    def _known_value(self, node: fx.Node, number: int) -> Any:
        value = self._known[node][number]
        if value is UnfollowableError:
            raise UnfollowableError
        return value

    def _twin(self, target: str) -> nn.Module:
        if target not in self._twins:
            self._twins[target] = meta_copy(self._modules[target])
        return self._twins[target]


def _with_values(value: Any) -> Any:
    return torch.rand(value.shape, dtype=value.dtype) if isinstance(value, Tensor) else value


def _reads_only_shapes(node: fx.Node) -> bool:
    """Whether a number or a truth comes from shapes alone: not from values, devices, or strides."""
    waiting, seen = [node], {node}
    while waiting:
        current = waiting.pop()
        if current.op in ("placeholder", "call_module", "get_attr") or not _is_plain(current):
            return False
        if _reads_a_shape(current):
            continue
        waiting += [source for source in current.all_input_nodes if source not in seen]
        seen.update(current.all_input_nodes)
    return True


def _reads_a_shape(node: fx.Node) -> bool:
    if node.op == "call_method":
        return node.target in _SHAPE_METHODS
    return node.target is len or (node.target is getattr and node.args[1] in _SHAPE_ATTRIBUTES)


def _is_plain(node: fx.Node) -> bool:
    """Whether it is a reading of a shape, or arithmetic."""
    if _reads_a_shape(node):
        return True
    home = getattr(node.target, "__module__", None)
    return node.op == "call_function" and home in ("_operator", "math", "builtins") and node.target is not getattr


@contextmanager
def _leaving_randomness_alone() -> Iterator[None]:
    """Whatever is drawn inside, everyone goes on afterwards as if nothing had been drawn."""
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        random.setstate(states[1])
        np.random.set_state(states[2])


def random_states() -> tuple[Any, ...]:
    """The states of the generators that a forward may draw from, as values that can be compared."""
    _, keys, *rest = np.random.get_state()
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), np.asarray(keys).tobytes(), rest
