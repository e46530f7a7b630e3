"""TOSA graphs as plain data, read from the flatbuffers that compilers for Arm's processors take."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unskip.errors import UnskipError

Constant = NDArray[Any]
_NUMBERS: Mapping[str, Any] = {
    "BOOL": np.bool_,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP32": np.float32,
}


@dataclass(frozen=True)
class Value:
    """A tensor of a graph: its type by TOSA's name, its shape, and its numbers where it is a constant of known type."""

    type: str
    shape: tuple[int, ...]
    constant: Constant | None = None


@dataclass(frozen=True)
class Operation:
    """An operation by TOSA's name, the names of what it reads and of what it gives, and its attributes by name."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class TosaGraph:
    """Operations in the order in which they run, and all values by name."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    values: Mapping[str, Value]
    operations: tuple[Operation, ...]


def read_graph(data: bytes) -> TosaGraph:
    """The graph in a flatbuffer; `UnskipError` for other bytes, and for graphs of several blocks."""
    from tosa.TosaGraph import TosaGraph as Stored

    try:
        if not Stored.TosaGraphBufferHasIdentifier(data, 0):
            raise ValueError("it does not begin as one")
        (region,) = _all(Stored.GetRootAs(data), "Regions")
        (block,) = _all(region, "Blocks")
        return TosaGraph(
            inputs=_texts(block, "Inputs"),
            outputs=_texts(block, "Outputs"),
            values=dict([*map(_tensor, _all(block, "Tensors")), *map(_shape, _all(block, "Shapes"))]),
            operations=tuple(map(_operation, _all(block, "Operators"))),
        )
    except Exception as error:  # readers of damaged flatbuffers raise anything
        raise UnskipError(f"no TOSA graph that can be read ({error})") from error


def _all(table: Any, name: str) -> Sequence[Any]:
    return [getattr(table, name)(place) for place in range(getattr(table, f"{name}Length")())]


def _texts(table: Any, name: str) -> tuple[str, ...]:
    return tuple(text.decode() for text in _all(table, name))


def _word(kind: str, number: int) -> str:
    """The name that a number has in one of the schema's enumerations."""
    enumeration = getattr(importlib.import_module(f"tosa.{kind}"), kind)
    return next(name for name, value in vars(enumeration).items() if value == number and not name.startswith("_"))


def _tensor(tensor: Any) -> tuple[str, Value]:
    kind, shape = _word("DType", tensor.Type()), tuple(_all(tensor, "Shape"))
    constant = None
    if tensor.DataLength() and kind in _NUMBERS:
        number = np.dtype(_NUMBERS[kind])
        count = int(np.prod(shape, dtype=np.int64))  # the stored bytes are filled up to a multiple of eight
        data = np.asarray(tensor.DataAsNumpy()).tobytes()
        constant = np.frombuffer(data, number, count).reshape(shape)
    return tensor.Name().decode(), Value(kind, shape, constant)


def _shape(shape: Any) -> tuple[str, Value]:
    sizes = np.frombuffer(np.asarray(shape.DataAsNumpy()).tobytes() if shape.DataLength() else b"", np.int64)
    return shape.Name().decode(), Value("SHAPE", (shape.Rank(),), sizes)


def _operation(operator: Any) -> Operation:
    return Operation(
        name=_word("Op", operator.Op()),
        inputs=_texts(operator, "Inputs"),
        outputs=_texts(operator, "Outputs"),
        attributes=_attributes(operator),
    )


def _attributes(operator: Any) -> dict[str, Any]:
    kind = _word("Attribute", operator.AttributeType())
    if kind == "NONE":
        return {}
    attribute = getattr(importlib.import_module(f"tosa.{kind}"), kind)()
    stored = operator.Attribute()
    attribute.Init(stored.Bytes, stored.Pos)
    fields = [name for name in vars(type(attribute)) if name[0].isupper() and not name.startswith(("GetRoot", kind))]
    lists = {name.removesuffix("Length") for name in fields if name.endswith("Length")}
    about_lists = {f"{name}{end}" for name in lists for end in ("", "Length", "AsNumpy", "IsNone")}
    single = {name for name in fields if name != "Init"} - about_lists
    return {name: _all(attribute, name) for name in lists} | {name: getattr(attribute, name)() for name in single}
