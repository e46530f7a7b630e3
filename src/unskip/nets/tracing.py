"""The forward of a network as a graph."""

from __future__ import annotations

import builtins
import inspect
import operator
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import fx, nn
from torch.fx.proxy import Attribute

from unskip.errors import UnskipError, first_line
from unskip.nets.examples import Examples, Followed, UnfollowableError
from unskip.nets.undisturbed import random_states

_LEN = len
_CONTAINERS = (nn.Module, nn.Sequential, nn.ModuleList, nn.ModuleDict)
# Functions that do not know of graphs: with a value of one among their arguments they become an operation in it.
_UNAWARE: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (builtins, ("len", "max", "min")),
    (torch, ("zeros", "ones", "empty", "full", "rand", "randn", "arange")),
)


class Value(fx.Proxy):
    """A value of the graph; a number or a truth that the shapes of the images decide is one in Python too."""

    def __getattr__(self, k: str) -> Attribute:
        return _Attribute(self, k)

    def __index__(self) -> int:
        return int(self._constant())

    __int__ = __index__

    def __float__(self) -> float:
        return float(self._constant())

    def _constant(self) -> Any:
        tracer = self.tracer
        assert isinstance(tracer, Tracer)
        return tracer.constant(self)


class _Attribute(Attribute, Value):
    """``x.shape``, ``x.ndim``: an operation once it is used."""


class Tracer(fx.Tracer):
    """A layer of torch.nn stays whole, and so does a subclass of one, whatever else it does, and what ``whole`` names.

    Decisions by shapes are followed for the examples' images, where they come out alike for any number of them and
    for all sizes that the network takes. A forward that draws random numbers by itself, or that runs under its own
    ``no_grad`` or ``autocast``, is not traced: the graph would not know. ``failed_in`` is the innermost module whose
    forward could not be traced, once `trace` has raised.
    """

    def __init__(self, whole: Iterable[str], examples: Examples | None) -> None:
        super().__init__()
        self.whole = frozenset(whole)
        self.examples = examples
        self.failed_in: str | None = None
        self.context = _context()
        self.followed: Followed | None = None
        self.following = False

    def trace(self, root: Any, concrete_args: dict[str, Any] | None = None) -> fx.Graph:
        """The graph of a module's forward."""
        self.followed = None if self.examples is None else Followed(root, self.examples)
        with recording(self):
            return super().trace(root, concrete_args)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is one operation of the graph."""
        return module_qualified_name in self.whole or is_layer(m)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """A value that knows its tracer."""
        return Value(node, self)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """What a module gives, its forward traced unless it stays whole."""
        if self.following:
            return forward(*args, **kwargs)
        if is_layer(m):  # it does not run here
            return super().call_module(m, forward, args, kwargs)
        try:
            return _without_drawing(lambda: super(Tracer, self).call_module(m, forward, args, kwargs))
        except Exception:
            if self.failed_in is None and not self.is_leaf_module(m, self.path_of_module(m)):
                self.failed_in = self.path_of_module(m)
            raise

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """An attribute of a module: a value of the graph for a parameter."""
        return attr_val if self.following else super().getattr(attr, attr_val, parameter_proxy_cache)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        """A node; raises `UnfollowableError` where the graph would not know under what it runs."""
        if _context() != self.context:
            raise UnfollowableError("a part of it runs under its own no_grad or autocast")
        return super().create_node(*args, **kwargs)

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> tuple[Any, list[Any]]:
        """The call with images alone: other arguments keep their defaults."""
        assert isinstance(self.root, nn.Module)
        forward, images = self.root.forward, self.create_proxy("placeholder", "images", (), {})
        return lambda: _without_drawing(lambda: forward(images)), []

    def to_bool(self, obj: fx.Proxy) -> bool:
        """Which way to go."""
        return bool(self.constant(obj))

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        """The items of a shape."""
        return iter([operator.getitem(obj, index) for index in range(len(self.constant(obj)))])

    def constant(self, value: fx.Proxy) -> Any:
        """What it is in Python; raises `UnfollowableError`, with the reason, where that depends on the images."""
        if self.followed is None:
            raise UnfollowableError("it decides by a value or a shape")
        self.following = True
        try:
            return self.followed.constant(value.node)
        finally:
            self.following = False


@contextmanager
def recording(tracer: Tracer) -> Iterator[None]:
    """Let functions that do not know of graphs be operations of this one, where they get values of it."""

    def recorded(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            given = () if function is _LEN and type(args[0]) in (tuple, list) else (*args, *kwargs.values())
            if tracer.following or not any(map(_holds_value, given)):
                return function(*args, **kwargs)
            made = tracer.create_proxy("call_function", function, args, kwargs)
            return tracer.constant(made) if function is _LEN and isinstance(args[0], Attribute) else made

        return call

    with torch.device("meta"):
        torch.empty(0)  # torch notes once which functions make tensors: before they are others
    if tracer.examples is not None or "torch._dynamo" in sys.modules:  # else nothing runs that could import it
        from torch._dynamo import trace_rules  # takes a second

        trace_rules.is_builtin_callable(len)  # and which ones are Python's own, or it could not export what was parsed
    with ExitStack() as patched:
        for home, names in _UNAWARE:
            for name in names:
                patched.enter_context(patch.object(home, name, recorded(getattr(home, name))))
        yield


def _holds_value(argument: Any) -> bool:
    if type(argument) in (tuple, list):
        return any(isinstance(each, fx.Proxy) for each in argument)
    return isinstance(argument, fx.Proxy)


def _context() -> tuple[bool, ...]:
    """What a forward may change around its operations, and no graph keeps."""
    return torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")


def _without_drawing(run: Callable[[], Any]) -> Any:
    """What ``run`` gives. `UnfollowableError` if it drew random numbers, which a graph would hold as constants."""
    before = random_states()
    result = run()
    if random_states() != before:
        raise UnfollowableError("it draws random numbers of its own")
    return result


def is_layer(module: nn.Module) -> bool:
    """Whether a module is a layer of torch.nn, or of a class made from one: a convolution with padding of its own."""
    bases = [base for base in type(module).__mro__ if base.__module__.startswith(("torch.nn.", "torch.ao.nn"))]
    return bool(bases) and bases[0] not in _CONTAINERS


def trace_graph(net: nn.Module, examples: Examples | None = None, whole: dict[str, str] | None = None) -> fx.Graph:
    """The graph of a network's forward; a module that cannot be traced stays whole, as one node.

    With ``examples``, decisions by the shapes of maps are followed; without, a forward that makes one is not traced.
    ``whole`` are modules that shall stay whole, with the reason, and is told of those that had to. Raises `UnskipError`
    where it is the network's own forward that cannot be traced.
    """
    whole = {} if whole is None else whole
    _check_takes_images(net)
    while True:
        tracer = Tracer(whole, examples)
        try:
            return tracer.trace(net)
        except Exception as error:
            reason = _reason(error)
            if tracer.failed_in is None or tracer.failed_in in whole:
                raise UnskipError(
                    f"the network's own forward cannot be traced: {reason}; put what does so into a module of its own, "
                    "which stays whole then"
                ) from error
            whole[tracer.failed_in] = reason


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, UnfollowableError) else f"torch.fx says {first_line(error)!r}"


def _check_takes_images(net: nn.Module) -> None:
    _, *more = inspect.signature(net.forward).parameters.values()
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [each.name for each in more if each.default is each.empty and each.kind not in optional]
    if needed:
        raise UnskipError(f"the network's forward needs more than images: {', '.join(needed)}")


def scope_of(node: fx.Node) -> str:
    """The module in whose forward a node stands; the network's own is the empty string."""
    paths = [str(path) for path, _ in node.meta.get("nn_module_stack", {}).values()]
    if node.op == "call_module" and paths and paths[-1] == node.target:
        paths.pop()
    return paths[-1] if paths else ""
