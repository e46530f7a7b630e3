"""A .pte program carried out step by step in Python: kernels that the runtime here lacks, memory as its plan has it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unskip.runtimes.executorch import METADATA

if TYPE_CHECKING:
    from torch import Tensor


_SPACES = ("cortex_m", "aten", "quantized_decomposed", "dim_order_ops")


class PlannedMethod:
    """The method ``forward`` of a program without delegates.

    Feature maps lie where the file's plan puts them in its arena, those with a lifetime in common side by side, so that
    a plan that is wrong gives other answers. ``kernels`` are the names of what is called, in order, ``metadata`` what
    the file says beside it.
    """

    def __init__(self, content: bytes) -> None:
        import torch
        from executorch.exir._serialize._program import deserialize_pte_binary

        program = deserialize_pte_binary(content).program
        plans = {plan.name: plan for plan in program.execution_plan}
        plan = plans["forward"]
        if plan.delegates:
            raise ValueError("it has parts for another processor")
        self.metadata = json.loads(_text_of(plans[METADATA])) if METADATA in plans else {}
        self._plan = plan
        self._calls = [instruction.instr_args for instruction in plan.chains[0].instructions]
        self._constants = program.constant_buffer
        self.arena_bytes = int(sum(plan.non_const_buffer_sizes))
        self.kernels = [self._operator(call).name for call in self._calls]
        self._arenas = [torch.zeros(size, dtype=torch.uint8) for size in plan.non_const_buffer_sizes]
        self._values = [self._value(entry.val) for entry in plan.values]
        for call in self._calls:
            self._check(call)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(batch, channels, height, width)."""
        return tuple(self._values[self._plan.inputs[0]].shape)

    def __call__(self, images: Tensor) -> list[Tensor]:
        """The outputs for one batch of images of the input's shape."""
        self._values[self._plan.inputs[0]].copy_(images)
        for call in self._calls:
            self._carry_out(call)
        return [self._values[place].clone() for place in self._plan.outputs]

    def live_bytes(self) -> list[int]:
        """How much of the arena holds something that is still needed, while each kernel runs."""
        spans = list(self._spans())
        return [
            _covered([(start, end) for first, last, start, end in spans if first <= step <= last])
            for step in range(len(self._calls))
        ]

    def _spans(self) -> Iterator[tuple[int, int, int, int]]:
        """The first and the last step at which each map is needed, and where it begins and ends in the arena."""
        written: dict[tuple[int, int], int] = {}  # by where a map lies: the step that wrote it
        steps = dict.fromkeys(self._plan.inputs, (0, 0))
        for step, call in enumerate(self._calls):
            for place in call.args:
                lies = self._lies(place)
                if lies is not None:
                    # A map that is only looked at in another shape is needed since it was written.
                    since = step if place == call.args[-1] else written.get(lies, step)
                    steps[place] = steps.get(place, (since, step))[0], step
            answer = self._lies(call.args[-1])
            if answer is not None:
                written[answer] = step
        for place in self._plan.outputs:
            steps[place] = steps[place][0], len(self._calls) - 1
        for place, (first, last) in steps.items():
            start, end = self._lies(place) or (0, 0)
            yield first, last, start, end

    def _lies(self, place: int) -> tuple[int, int] | None:
        """Where a value begins and ends in all arenas, one behind the other; None for what is not in them."""
        about = getattr(self._plan.values[place].val, "allocation_info", None)
        if about is None:
            return None
        before = sum(self._plan.non_const_buffer_sizes[: about.memory_id])
        start = int(before + about.memory_offset_low + (about.memory_offset_high << 32))
        tensor = self._values[place]
        return start, start + tensor.numel() * tensor.itemsize

    def _operator(self, call: Any) -> Any:
        place = getattr(call, "op_index", None)
        if place is None:
            raise ValueError(f"it holds a {type(call).__name__}, which is not carried out here")
        return self._plan.operators[place]

    def _check(self, call: Any) -> None:
        """Raise `ValueError` for what is no operation on tensors alone: a file must not reach other files."""
        operator = self._operator(call)
        _overloads(operator.name, operator.overload)
        if any(isinstance(self._values[place], str) for place in call.args):
            raise ValueError(f"it gives {operator.name} a text, which is not carried out here")

    def _carry_out(self, call: Any) -> None:
        operator = self._operator(call)
        overloads, overload = _overloads(operator.name, operator.overload)
        arguments = overload._schema.arguments
        names = [argument.name for argument in arguments]
        value_of = {name: self._values[place] for name, place in zip(names, call.args, strict=False)}
        outs = [value_of[argument.name] for argument in arguments if argument.is_out]
        if operator.name.startswith("cortex_m::"):  # in Python there are only those that return their answer
            kernel = _kernels().get(operator.name, overloads.default)
            answer = kernel(*(value_of[each.name] for each in arguments if not each.is_out))
            for out, tensor in zip(outs, [answer] if len(outs) == 1 else answer, strict=True):
                out.copy_(tensor)
            return
        by_name = {argument.name for argument in arguments if argument.kwarg_only}
        overload(
            *(value for name, value in value_of.items() if name not in by_name),
            **{name: value for name, value in value_of.items() if name in by_name},
        )

    def _value(self, value: Any) -> Any:
        """A value of the program: tensors as views of the arena or of constants, lists by their items."""
        kind = type(value).__name__
        if kind == "Tensor":
            return self._tensor(value)
        if kind == "Null":
            return None
        if kind == "IntList":
            return [self._plan.values[item].val.int_val for item in value.items]
        if kind in ("BoolList", "DoubleList"):
            return list(value.items)
        if kind in ("TensorList", "OptionalTensorList"):
            return [None if item < 0 else self._value(self._plan.values[item].val) for item in value.items]
        (item,) = vars(value).values()
        return float(item) if kind == "Double" else item

    def _tensor(self, about: Any) -> Tensor:
        import torch
        from executorch.exir.tensor import scalar_type_table, stride_from_dim_order

        dtype = next(dtype for dtype, number in scalar_type_table.items() if number == about.scalar_type)
        sizes = list(about.sizes)
        if about.allocation_info is None and about.data_buffer_idx:
            storage = bytearray(self._constants[about.data_buffer_idx].storage)
        elif about.allocation_info is None:
            storage = bytearray(_num_bytes(sizes, dtype))
        else:
            place = about.allocation_info
            start = place.memory_offset_low + (place.memory_offset_high << 32)
            whole = self._arenas[place.memory_id][start : start + _num_bytes(sizes, dtype)]
            return whole.view(dtype).as_strided(
                sizes, stride_from_dim_order(sizes, list(about.dim_order)), start // dtype.itemsize
            )
        flat = torch.frombuffer(storage, dtype=dtype) if storage else torch.empty(0, dtype=dtype)
        return flat.as_strided(sizes, stride_from_dim_order(sizes, list(about.dim_order)))


def read_plan(path: Path) -> PlannedMethod:
    """The program in a file."""
    return PlannedMethod(path.read_bytes())


def _text_of(plan: Any) -> str:
    """What a method that returns a text returns."""
    return str(plan.values[plan.outputs[0]].val.string_val)


def _covered(spans: Sequence[tuple[int, int]]) -> int:
    """Bytes in any of the spans, which may overlap."""
    total, reached = 0, 0
    for start, end in sorted(spans):
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _num_bytes(sizes: Sequence[int], dtype: Any) -> int:
    num = dtype.itemsize
    for size in sizes:
        num *= size
    return int(num)


def _kernels() -> Mapping[str, Callable[..., Any]]:
    from unskip.runtimes._cmsis_nn import KERNELS  # imports torch

    return KERNELS


@cache
def _overloads(name: str, overload: str) -> tuple[Any, Any]:
    """An operation of torch's registry by its name in a program, and the one of its overloads that is called."""
    import torch
    from executorch.backends.cortex_m.passes import cortex_m_pass_manager  # noqa: F401  (declares its operations)

    space, _, operation = name.partition("::")
    overloads = getattr(getattr(torch.ops, space), operation, None) if space in _SPACES else None
    called = getattr(overloads, overload or "default", None)
    if called is None:
        raise ValueError(f"it calls {name}, for which there is no kernel here")
    return overloads, called
