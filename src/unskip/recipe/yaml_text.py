"""Plain data from YAML text: YAML 1.2's core types, within limits, nothing constructed.

A recipe is small, so what is large, deep or refers to itself is refused before it takes time or memory. Dates, binary
data, sets and tags of programs are no settings; neither are infinities and NaN.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from unskip.errors import UnskipError

_LARGEST = 2**20  # bytes of text
_MOST_VALUES = 20_000  # with everything that is said by reference
_DEEPEST = 32
_MOST_DIGITS = 40

_UNICODE_BREAK = re.compile("[\x85\u2028\u2029]")
_TAG = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULLS = ("", "~", "null", "Null", "NULL")
_KINDS: Mapping[str, Any] = {"int": int, "float": float | int, "bool": bool, "null": type(None)}
_PLAIN = "?"  # YAML's name for a scalar without quotes or tag


def yaml_file(path: Path) -> Any:
    """The plain data in a YAML file; `UnskipError`, which names it, for anything that is none."""
    with open(path, "rb") as file:
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise UnskipError(f"{path} is too large for settings: more than {_LARGEST:,} bytes")
    try:
        return read_yaml(content.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        raise UnskipError(f"{path} is not YAML: byte {error.start} is no UTF-8 text") from error


def read_yaml(text: str, origin: str) -> Any:
    """The plain data that a text says: dicts with texts as keys, lists, texts, numbers, truth values and None.

    ``origin`` names the text in the `UnskipError` that is raised for what is no YAML, and for what is no plain data.
    """
    if len(text) > _LARGEST:
        raise UnskipError(f"{origin} is too large for settings: more than {_LARGEST:,} characters")
    _check_printable(text, origin)
    try:
        node = _Loader(text).get_single_node()
    except yaml.YAMLError as error:
        raise UnskipError(f"{origin} is not YAML: {_said(error)}") from error
    except UnskipError as error:
        raise UnskipError(f"{origin}: {error}") from error
    except (ValueError, OverflowError, IndexError) as error:  # what PyYAML lets through, as for "\UFFFFFFFF"
        raise UnskipError(f"{origin} is not YAML: {error}") from error
    if node is None:
        return None
    try:
        return _Values().of(node)
    except UnskipError as error:
        raise UnskipError(f"{origin}: {error}") from error


def dump_yaml(data: Any) -> str:
    """Plain data as YAML that :func:`read_yaml`, and a reader of YAML 1.1, reads back to the same."""
    return str(yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


class _Loader(yaml.SafeLoader):
    """PyYAML up to the tree of nodes, which is limited in its depth; what scalars mean is for `_Values` to say."""

    depth = 0

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        if kind is yaml.ScalarNode and implicit[0]:
            return _PLAIN
        return {yaml.ScalarNode: f"{_TAG}str", yaml.SequenceNode: f"{_TAG}seq", yaml.MappingNode: f"{_TAG}map"}[kind]

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > _DEEPEST:
            line = self.peek_event().start_mark.line + 1
            raise UnskipError(f"more than {_DEEPEST} values inside each other in line {line}; settings are not so deep")
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


class _Dumper(yaml.SafeDumper):
    """Writes texts that YAML 1.1 or 1.2 would take for something else in quotes."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Line breaks of Unicode are written as such in double quotes only; in others they would be folded."""
        style = '"' if _UNICODE_BREAK.search(data) else None
        return self.represent_scalar(f"{_TAG}str", data, style=style)


_Dumper.add_representer(str, _Dumper.represent_str)
_Dumper.add_implicit_resolver(f"{_TAG}float", re.compile(rf"^(?:{_FLOAT.pattern})$"), list("-+0123456789."))
_Dumper.add_implicit_resolver(f"{_TAG}int", re.compile(rf"^(?:{_INT.pattern})$"), list("-+0123456789"))


class _Values:
    """Turns nodes into values, and counts them: an alias is copied, so what refers to itself ends at a limit."""

    def __init__(self) -> None:
        self._count = 0

    def of(self, node: yaml.Node, depth: int = 1) -> Any:
        self._count += 1
        if self._count > _MOST_VALUES or depth > _DEEPEST:
            raise UnskipError(
                f"more than {_MOST_VALUES:,} values, or {_DEEPEST} inside each other, with all that *references "
                "repeat; settings are not so large"
            )
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if node.tag == f"{_TAG}seq" and isinstance(node, yaml.SequenceNode):
            return [self.of(item, depth + 1) for item in node.value]
        if node.tag == f"{_TAG}map" and isinstance(node, yaml.MappingNode):
            return self._mapping(node, depth)
        raise UnskipError(f"the tag {_shown(node.tag)} {_at(node)} is not for settings")

    def _mapping(self, node: yaml.Node, depth: int) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = _key(key_node)
            if key == "<<" and key_node.tag == _PLAIN:
                for part in self._merged(value_node, depth):
                    merged = part | merged
            elif key in own:
                raise UnskipError(f"the key {key!r} stands twice in one mapping, {_at(key_node)}; keep one")
            else:
                own[key] = self.of(value_node, depth + 1)
        return merged | own

    def _merged(self, node: yaml.Node, depth: int) -> Iterator[dict[str, Any]]:
        found = self.of(node, depth + 1)
        for part in found if isinstance(found, list) else [found]:
            if not isinstance(part, dict):
                raise UnskipError(f"<< {_at(node)} takes the keys of another mapping, not {part!r}")
            yield part


def _key(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise UnskipError(f"a key {_at(node)} is a list or a mapping; keys are texts")
    key = _scalar(node)
    if not isinstance(key, str):
        raise UnskipError(f"the key {_short(node.value)} {_at(node)} is no text; write it in quotes if it is a name")
    return key


def _scalar(node: yaml.ScalarNode) -> Any:
    """A value of YAML 1.2's core schema: 010 is ten; yes, 1:30 and 2024-01-01 are texts."""
    text, tag = str(node.value), node.tag.removeprefix(_TAG)
    if "\0" in text:
        raise UnskipError(f"the text {_at(node)} holds a NUL character, which no name and no path has")
    if tag == "str":
        return text
    value = _plain(text, node)
    if tag == _PLAIN:
        return value
    if tag not in _KINDS:
        raise UnskipError(f"the tag {_shown(node.tag)} {_at(node)} is not for settings")
    if not isinstance(value, _KINDS[tag]) or (isinstance(value, bool) and tag != "bool"):
        raise UnskipError(f"{_short(text)} {_at(node)} is no {tag}")
    return float(value) if tag == "float" else value


def _plain(text: str, node: yaml.Node) -> Any:
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if _INT.fullmatch(text):
        if len(text) > _MOST_DIGITS:
            raise UnskipError(f"{_short(text)} {_at(node)} is a number of {len(text):,} digits; none is so large")
        return int(text, 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10)
    if _NOT_FINITE.fullmatch(text) or (_FLOAT.fullmatch(text) and not math.isfinite(float(text))):
        raise UnskipError(f"{_short(text)} {_at(node)} is no finite number, and settings need one")
    return float(text) if _FLOAT.fullmatch(text) else text


def _check_printable(text: str, origin: str) -> None:
    """Raise `UnskipError` for characters that YAML does not allow, which PyYAML would say in two lines."""
    match = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if match:
        line = text.count("\n", 0, match.start()) + 1
        raise UnskipError(f"{origin} is not YAML: line {line} holds the control character {match.group()!r}")


def _said(error: yaml.YAMLError) -> str:
    if not isinstance(error, yaml.MarkedYAMLError):
        return str(error).splitlines()[0]
    mark = error.problem_mark or error.context_mark
    problem = " ".join(part for part in (error.context, error.problem) if part)
    return problem + (f", in line {mark.line + 1}, column {mark.column + 1}" if mark else "")


def _at(node: yaml.Node) -> str:
    return f"in line {node.start_mark.line + 1}"


def _shown(tag: str) -> str:
    return repr(_short(tag.replace(_TAG, "!!")))


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:30]}.."
