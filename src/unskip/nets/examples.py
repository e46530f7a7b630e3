"""What the values of a graph look like for images of several numbers and sizes, found without computing them."""

from __future__ import annotations

import copy
from contextlib import suppress
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx, nn

from unskip.nets.shapes import meta_copy
from unskip.nets.undisturbed import randomness_kept

_SHAPE_ATTRIBUTES = ("shape", "ndim")
_SHAPE_METHODS = ("size", "dim", "ndimension", "numel", "nelement")


class UnfollowableError(Exception):
    """What a value would be cannot be told from shapes."""


class Examples:
    """Images of a network: as many and as large as the one given, one more of them, and other sizes that it takes."""

    def __init__(self, net: nn.Module, images: Tensor) -> None:
        self._net = net
        self._images = images

    @cached_property
    def images(self) -> tuple[Tensor, ...]:
        """On the meta device; the first two differ in the number of images alone."""
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
        other_sizes = [
            torch.empty(number, channels, *size, device="meta", dtype=own.dtype)
            for size in dict.fromkeys(sizes)
            if size != (height, width)
        ]
        if _runs(twin, own):  # else nobody knows which sizes it takes
            other_sizes = [images for images in other_sizes if _runs(twin, images)]
        return own, torch.cat([own, own[:1]]), *other_sizes


def _runs(net: nn.Module, images: Tensor) -> bool:
    try:
        with torch.no_grad(), torch.device("meta"), randomness_kept():
            net(images)
    except Exception:  # whatever a network of others raises
        return False
    return True


class _Run(fx.Interpreter):
    """The values of a graph for the images of one example, on the meta device."""

    def __init__(self, root: nn.Module, graph: fx.Graph, images: Tensor, twins: dict[str, nn.Module]) -> None:
        super().__init__(root, garbage_collect_values=False, graph=graph)
        self._images = images
        self._twins = twins

    def placeholder(self, *_: Any) -> Any:
        return self._images

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        value = super().get_attr(target, args, kwargs)
        return value.to("meta") if isinstance(value, Tensor) else value

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        module = self.fetch_attr(target)
        if target not in self._twins:
            self._twins[target] = meta_copy(module)
        try:
            return self._twins[target].forward(*args, **kwargs)
        except Exception:  # some modules need values
            with torch.device("cpu"):
                given = fx.node.map_aggregate(args, _with_values)
                return copy.deepcopy(module).eval().forward(*given, **kwargs).to("meta")


class Followed:
    """The values of a graph for several examples, tensors on the meta device, each found when it is asked for."""

    def __init__(self, root: nn.Module, examples: Examples) -> None:
        self._root = root
        self._examples = examples
        self._runs: list[_Run] = []
        self._known: set[fx.Node] = set()

    def of(self, node: fx.Node) -> list[Any]:
        """One value for each example, in order; :class:`UnfollowableError` itself for one that cannot be known."""
        if not self._runs:
            twins: dict[str, nn.Module] = {}
            self._runs = [_Run(self._root, node.graph, images, twins) for images in self._examples.images]
        if node not in self._known:
            for earlier in node.graph.nodes:  # in order, since some may change others in place
                if earlier not in self._known and earlier.op != "output":
                    self._known.add(earlier)
                    self._find(earlier)
                if earlier is node:
                    break
        return [run.env.get(node, UnfollowableError) for run in self._runs]

    def _find(self, node: fx.Node) -> None:
        with torch.no_grad(), torch.device("meta"), randomness_kept():
            for run in self._runs:
                with suppress(Exception):  # whatever an operation of others raises
                    run.env[node] = run.run_node(node)

    def constant(self, node: fx.Node) -> Any:
        """What a number, a shape or a truth is for all examples; else raises `UnfollowableError` with the reason."""
        first, *others_known = self.of(node)
        if first is UnfollowableError:
            raise UnfollowableError("it decides by something that is not known before it runs")
        if isinstance(first, Tensor):
            raise UnfollowableError("it decides by the values of a tensor")
        if not _reads_only_shapes(node):
            raise UnfollowableError("it decides by more than the shapes of its inputs")
        known = [value for value in others_known if value is not UnfollowableError]
        if others_known and others_known[0] is not UnfollowableError and others_known[0] != first:
            raise UnfollowableError("it decides by the number of images in the batch")
        if any(value != first for value in known):
            raise UnfollowableError("it does something else for images of another size")
        return first


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
