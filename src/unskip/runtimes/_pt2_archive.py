"""What a .pt2 file holds, looked at before torch reads it.

`torch.export.load` unpickles payloads, evaluates expressions as Python, makes functions of names, calls whatever
operation a graph names, and loads compiled libraries. So only an archive that needs none of this is let through: raw
tensors, and a graph of torch's own tensor operations.
"""

from __future__ import annotations

import ast
import io
import json
import keyword
import math
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unskip.errors import UnskipError, first_line

_RECORDS = re.compile(
    r"archive_format|archive_version|byteorder|version|\.data/(version|serialization_id)|extra/[^/]+"
    r"|models/model\.json|data/sample_inputs/model\.pt"
    r"|data/weights/(weight_\d+|model_weights_config\.json)|data/constants/(tensor_\d+|model_constants_config\.json)"
)
_CONFIGS = {
    "data/weights/model_weights_config.json": re.compile(r"weight_\d+"),
    "data/constants/model_constants_config.json": re.compile(r"tensor_\d+"),
}
# Texts in a graph are names, but for those that are looked at in a way of their own.
_PLACE = re.compile(r"[\w.+\-/@ ]*")
_NAMES = {"name", "as_name", "forward_arg_names"}  # torch writes Python code with them
_NOTES = {"stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node", "custom"}  # read by nobody
_OPERATION = re.compile(r"torch\.ops\.aten\.(\w+)\.(\w+)")
_OF_SIZES = re.compile(
    r"_operator\.(getitem|eq|ne|le|ge|lt|gt|neg|pos|mul|add|sub|floordiv|mod|truediv|and_|or_)"
    r"|math\.(trunc|ceil|floor)|torch\.sym_(not|int|float|ite|max|min)"
)
_WITH_OTHER_MEMORY = {"from_file", "save", "set_", "set"}  # files, or memory that a tensor does not own
_IN_SIZES = {
    *("Symbol", "Integer", "Mul", "Add", "Max", "Min", "FloorDiv", "Mod", "PythonMod", "CleanDiv", "CeilDiv", "Where"),
    *("CeilToInt", "FloorToInt", "TruncToInt", "RoundToInt", "ToFloat", "IntTrueDiv", "FloatTrueDiv", "Identity"),
    *("Eq", "Ne", "Lt", "Le", "Gt", "Ge", "Equality", "Unequality", "StrictLessThan", "LessThan", "GreaterThan"),
    *("StrictGreaterThan", "ModularIndexing"),
}
_SYMBOL = re.compile(r"[a-z]{1,4}\d+")


def check_archive(path: Path) -> None:
    """Raise `UnskipError` for a .pt2 file that holds more than tensors and a graph of torch's own operations."""
    import torch

    records = _records(path)
    reader = torch._C.PyTorchFileReader(str(path))  # the one that torch reads with, so that both see the same
    if set(reader.get_all_records()) != records:
        raise UnskipError(f"{path} is an archive that two programs read differently; it is not loaded")
    for config, file_name in _CONFIGS.items():
        if config in records:
            _check_payloads(path, _parsed(path, reader, config), file_name, reader, config.rpartition("/")[0])
    if "data/sample_inputs/model.pt" in records:
        _check_sample_inputs(path, reader.get_record("data/sample_inputs/model.pt"))
    if "models/model.json" in records:
        _check_graph(path, _parsed(path, reader, "models/model.json"), "")


def _records(path: Path) -> set[str]:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    names = [entry.filename for entry in entries]
    root = names[0].partition("/")[0] if names else ""
    records = {name.removeprefix(f"{root}/") for name in names}
    if len(records) != len(names) or not all(name.startswith(f"{root}/") for name in names):
        raise UnskipError(f"{path} is no archive as torch.export.save writes it: its entries are not in one folder")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise UnskipError(f"{path} is no archive as torch.export.save writes it: its entries are compressed")
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise UnskipError(f"{path} is no archive as torch.export.save writes it: its entries lie in one another")
    other = sorted(name for name in records if not _RECORDS.fullmatch(name))
    if other:
        raise UnskipError(
            f"{path} holds {other[0]}, which may be code; only files with the tensors and the graph of one network "
            "named 'model' are loaded, as `unskip export --to torch` writes them"
        )
    return records


def _parsed(path: Path, reader: Any, record: str) -> Any:
    try:
        return json.loads(reader.get_record(record))
    except (ValueError, RecursionError) as error:
        raise UnskipError(f"{path}: {record} is damaged: {first_line(error)}") from error


def _check_payloads(path: Path, config: Any, file_name: re.Pattern[str], reader: Any, folder: str) -> None:
    payloads = config.get("config") if isinstance(config, Mapping) else None
    if not isinstance(payloads, Mapping):
        raise UnskipError(f"{path}: what it says of its tensors is damaged")
    for name, payload in payloads.items():
        facts = payload if isinstance(payload, Mapping) else {}
        if facts.get("use_pickle") is not False or not file_name.fullmatch(str(facts.get("path_name"))):
            raise UnskipError(
                f"{path}: {name} is pickled, and to unpickle it may run code; only raw tensors are loaded, as "
                "`unskip export --to torch` writes them"
            )
        meta = facts.get("tensor_meta")
        sizes = meta.get("sizes") if isinstance(meta, Mapping) else None
        sides: list[Any] = [size.get("as_int") if isinstance(size, Mapping) else None for size in sizes or ()]
        if not isinstance(sizes, list) or not all(type(side) is int and side >= 0 for side in sides):
            raise UnskipError(f"{path}: the shape of {name} is damaged")
        if math.prod(sides) and not reader.get_record_size(f"{folder}/{facts['path_name']}"):
            raise UnskipError(f"{path}: the values of {name} are missing")


def _check_sample_inputs(path: Path, content: bytes) -> None:
    import torch

    if content:
        try:
            torch.load(io.BytesIO(content), weights_only=True)
        except Exception as error:  # torch would then unpickle it in full
            raise UnskipError(
                f"{path}: its sample inputs are pickled with more than tensors, and to unpickle them may run code; "
                "write it again with example_inputs = None"
            ) from error


def _check_graph(path: Path, value: Any, key: str) -> None:
    """Look at every text and name in the graph; ``key`` is what it stands under."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _check_text(path, name, "")
            if name == "metadata" and isinstance(inner, Mapping) and inner.keys() <= _NOTES:
                continue
            _check_graph(path, inner, name)
    elif isinstance(value, list):
        for inner in value:
            _check_graph(path, inner, key)
    elif isinstance(value, str):
        _check_text(path, value, key)


def _check_text(path: Path, text: str, key: str) -> None:
    if key in ("in_spec", "out_spec"):
        fits = _is_tree_of_tensors(text)
    elif key == "expr_str":
        fits = _is_size(text)
    elif key in ("target", "as_operator"):
        fits = _is_operation(text)
    elif key in _NAMES:
        fits = text.isidentifier() and not keyword.iskeyword(text)
    else:
        fits = bool(_PLACE.fullmatch(text))
    if not fits:
        raise UnskipError(
            f"{path}: {key or 'a name'} in its graph is {text[:80]!r}, which may be code; only torch's own tensor "
            "operations on tensors are loaded"
        )


def _is_operation(text: str) -> bool:
    import torch

    match = _OPERATION.fullmatch(text)
    if match is None:
        return bool(_OF_SIZES.fullmatch(text))
    if match[1] in _WITH_OTHER_MEMORY:
        return False
    operation = getattr(getattr(torch.ops.aten, match[1], None), match[2], None)
    return isinstance(operation, torch._ops.OpOverload)


def _is_size(text: str) -> bool:
    """Whether an expression computes with sizes and does nothing else; torch evaluates it as Python."""
    if len(text) > 1000:
        return False
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return _computes(tree.body)


def _computes(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return type(node.value) in (int, float, bool)
    if isinstance(node, ast.Name):
        return bool(_SYMBOL.fullmatch(node.id)) or node.id in ("true", "false")
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub | ast.UAdd) and _computes(node.operand)
    if isinstance(node, ast.BinOp):
        plain = isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div | ast.FloorDiv | ast.Mod)
        return plain and _computes(node.left) and _computes(node.right)
    if isinstance(node, ast.Compare):
        return _computes(node.left) and all(map(_computes, node.comparators))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _IN_SIZES:
        if node.func.id == "Symbol":
            return (
                len(node.args) == 1
                and isinstance(node.args[0], ast.Constant)
                and bool(_SYMBOL.fullmatch(str(node.args[0].value)))
                and all(isinstance(word.value, ast.Constant) and word.value.value is True for word in node.keywords)
            )
        return not node.keywords and all(map(_computes, node.args))
    return False


def _is_tree_of_tensors(text: str) -> bool:
    """Whether the form of a graph's inputs or outputs is made of tuples, lists and dictionaries."""
    try:
        version, tree = json.loads(text)
        return version == 1 and _is_plain_tree(tree)
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


def _is_plain_tree(tree: Any) -> bool:
    if tree["type"] is None:
        return tree["context"] is None and tree["children_spec"] == []
    keys = json.loads(tree["context"]) or []
    return (
        tree["type"] in ("builtins.tuple", "builtins.list", "builtins.dict")
        and isinstance(keys, list)
        and all(isinstance(key, str) and key.isidentifier() for key in keys)
        and all(map(_is_plain_tree, tree["children_spec"]))
    )
