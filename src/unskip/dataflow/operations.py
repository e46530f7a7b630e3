"""What a network computes, as a list of operations on feature maps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.utils._pytree import tree_leaves

from unskip.dataflow.windows import NO_COMPUTATION, Kernel, Window, kernel_of, window_of
from unskip.errors import UnskipError, first_line
from unskip.nets.dispatch import Dispatch
from unskip.nets.shapes import copied_once, on_one_image
from unskip.nets.tracing import trace_graph


@dataclass(frozen=True)
class Operation:
    """One operation on feature maps, for a batch of one image.

    ``scope`` is the module in whose forward it stands. ``inputs`` are places in `Dataflow.elements`. ``window`` is what
    a place of the output reads of an input, None where it is all of it. ``macs`` and ``weights`` are those of
    convolutions and linear layers: multiply-accumulates, and elements of the kernel, biases left out.
    """

    name: str
    kind: str
    scope: str
    inputs: tuple[int, ...]
    elementwise: bool
    window: Window | None = None
    macs: int = 0
    weights: int = 0


@dataclass(frozen=True)
class Dataflow:
    """The operations of a network in the order in which they run.

    Feature maps are numbered: 0 is the image, and operation ``i`` writes map ``i + 1``. ``elements`` are their sizes,
    ``shapes`` those of one image's, ``outputs`` the maps that the network returns.
    """

    operations: tuple[Operation, ...]
    elements: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...]
    outputs: frozenset[int]


_kept: ContextVar[dict[Any, tuple[nn.Module, Dataflow]] | None] = ContextVar("kept", default=None)


def trace(net: nn.Module, input_shape: tuple[int, int, int]) -> Dataflow:
    """The dataflow of a network in eval mode for one image of ``(channels, height, width)``.

    Modules of torch.nn are one operation each and carry their qualified names; what stands between them is
    named after the module whose forward it is in (``stage1.block1.add``). Views and layers that do nothing in
    eval mode are no operations, and neither is a BatchNorm directly behind a convolution: it is folded into
    it for deployment.

    Raises `UnskipError` when torch.fx cannot trace the network or the image does not fit it.
    """
    traced = _kept.get()
    if traced is None:
        return _traced(net, input_shape)
    if (id(net), input_shape) not in traced:
        traced[id(net), input_shape] = net, _traced(net, input_shape)
    return traced[id(net), input_shape][1]


@contextmanager
def traced_once() -> Iterator[None]:
    """Within this block a network is copied once, and traced once for images of one shape; nobody may change it."""
    token = _kept.set({})
    try:
        with copied_once():
            yield
    finally:
        _kept.reset(token)


def _traced(net: nn.Module, input_shape: tuple[int, int, int]) -> Dataflow:
    try:
        return on_one_image(net, input_shape, _trace)
    except UnskipError:
        raise
    except Exception as error:
        size = " x ".join(map(str, input_shape))
        raise UnskipError(f"an image of {size} does not fit this network: {first_line(error)}") from error


def _trace(net: nn.Module, images: Tensor) -> Dataflow:
    run = _Run(fx.GraphModule(net, trace_graph(net)))
    run.run(images)
    return Dataflow(tuple(run.operations), tuple(run.elements), tuple(run.shapes), run.outputs)


class _Run(fx.Interpreter):
    """Runs a graph and turns its nodes into operations, and views into the maps that they look at."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module, garbage_collect_values=False)
        self.operations: list[Operation] = []
        self.elements: list[int] = []
        self.shapes: list[tuple[int, ...]] = []
        self.outputs: frozenset[int] = frozenset()
        self._maps: dict[fx.Node, int] = {}
        self._names: Counter[str] = Counter()
        # In-place layers would give one storage two meanings; what can be in place is decided by liveness.
        for layer in module.modules():
            if getattr(layer, "inplace", False) is True:
                layer.inplace = False  # type: ignore[assignment]

    def run_node(self, node: fx.Node) -> Any:
        with _Kernels() as kernels:
            result = super().run_node(node)
        tensors = _tensors(result)
        if node.op == "output":
            self.outputs = frozenset(self._inputs(node))
        elif node.op != "get_attr" and tensors:
            elementwise = bool(kernels.seen) and all(kernel.elementwise for kernel in kernels.seen)
            source = None if node.op == "placeholder" else self._looks_at(node, tensors, elementwise)
            if source is None:
                if node.op != "placeholder":
                    self.operations.append(self._operation(node, elementwise, kernels.seen))
                source = len(self.elements)
                self.elements.append(sum({_storage(tensor): tensor.numel() for tensor in tensors}.values()))
                self.shapes.append(tuple(tensors[0].shape[1:]))
            self._maps[node] = source
        return result

    def _inputs(self, node: fx.Node) -> tuple[int, ...]:
        """The maps that a node reads."""
        return tuple(self._maps[source] for source in node.all_input_nodes if source in self._maps)

    def _looks_at(self, node: fx.Node, tensors: list[Tensor], elementwise: bool) -> int | None:
        """The map that this node only looks at, if it computes nothing of its own."""
        sources = [source for source in node.all_input_nodes if source in self._maps]
        if self._is_folded(node):
            return self._maps[sources[0]]
        storages = {_storage(tensor) for tensor in tensors}
        for source in [] if elementwise else sources:
            if storages <= {_storage(tensor) for tensor in _tensors(self.env[source])}:
                return self._maps[source]
        return None

    def _is_folded(self, node: fx.Node) -> bool:
        """Whether this is a BatchNorm behind a convolution that nothing else reads, or behind another such one."""
        if not isinstance(self._module(node), _BatchNorm):
            return False
        (source, *_) = node.all_input_nodes
        convolves = isinstance(self._module(source), _ConvNd) or self._is_folded(source)
        return convolves and len(source.users) == 1

    def _operation(self, node: fx.Node, elementwise: bool, kernels: list[Kernel]) -> Operation:
        module = self._module(node)
        stack = list(node.meta.get("nn_module_stack", {}).values())
        scope = str(stack[-1][0]) if stack else ""
        kind = type(module).__name__ if module is not None else _function_name(node.target)
        name = str(node.target) if module is not None else f"{scope}.{kind}".removeprefix(".")
        self._names[name] += 1
        if self._names[name] > 1:
            name = f"{name}#{self._names[name]}"
        return Operation(
            name,
            kind,
            scope,
            self._inputs(node),
            elementwise,
            window_of(kernels),
            sum(kernel.macs for kernel in kernels),
            sum(kernel.weights for kernel in kernels),
        )

    def _module(self, node: fx.Node) -> nn.Module | None:
        return self.module.get_submodule(str(node.target)) if node.op == "call_module" else None


class _Kernels(Dispatch):
    """Notes the kernels that run."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Kernel] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if not func.is_view and func.overloadpacket not in NO_COMPUTATION:
            self.seen.append(kernel_of(func, args, output))
        return output


def _function_name(target: str | Callable[..., Any]) -> str:
    """``add`` for all of ``a + b``, ``a += b``, ``torch.add`` and ``a.add_``."""
    name = target if isinstance(target, str) else target.__name__
    name = name.strip("_")
    return {"iadd": "add", "imul": "mul"}.get(name, name)


def _tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
