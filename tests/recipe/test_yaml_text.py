"""YAML as settings are written in it: 1.2's core types, within limits."""

import math
import os

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from unskip import UnskipError
from unskip.recipe.yaml_text import dump_yaml, read_yaml, yaml_file


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("a: 1\nb: [x, 'y', \"z\", 1.5, true, null, ~]", {"a": 1, "b": ["x", "y", "z", 1.5, True, None, None]}),
        ("[1e-4, .5, 5., -3, +3, 0o17, 0x1F, 010]", [1e-4, 0.5, 5.0, -3, 3, 15, 31, 10]),
        ("[yes, no, off, 1:30, 2024-01-01, 1_0, =]", ["yes", "no", "off", "1:30", "2024-01-01", "1_0", "="]),
        ("!!str 5", "5"),
        ("!!float 5", 5.0),
        ("{a: &x {p: 1}, b: {<<: *x, q: 3}, c: *x}", {"a": {"p": 1}, "b": {"p": 1, "q": 3}, "c": {"p": 1}}),
        ("{a: &x {p: 1, q: 2}, b: {q: 3, <<: *x}}", {"a": {"p": 1, "q": 2}, "b": {"p": 1, "q": 3}}),
        ("{'<<': 1}", {"<<": 1}),
        ("{<<: [{a: 1, b: 1}, {b: 2, c: 2}]}", {"a": 1, "b": 1, "c": 2}),
        ("'1'", "1"),
    ],
)
def test_values(text, value):
    found = read_yaml(text, "it")
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", "it is not YAML: .*, in line 1, column 5"),
        ("a:\n\t- 1", r"it is not YAML: .*in line 2, column 1"),
        ("a: b: c", "it is not YAML: mapping values are not allowed here, in line 1, column 5"),
        ("a\n---\nb", "it is not YAML: expected a single document.*line 2"),
        ("*a", "it is not YAML: found undefined alias 'a'"),
        ("a: \0", r"it is not YAML: line 1 holds the control character '\\x00'"),
        ('"\\UFFFFFFFF"', "it is not YAML"),
        ('a: "\\0"', "it: the text in line 1 holds a NUL"),
        ("a: 1\nb: 2\na: 3", "it: the key 'a' stands twice in one mapping, in line 3; keep one"),
        ("1: a", "it: the key 1 in line 1 is no text; write it in quotes"),
        ("null: a", "is no text"),
        ("? [a]\n: 1", "a list or a mapping; keys are texts"),
        ("!!binary aGk=: 1", "the tag '!!binary' in line 1 is not for settings"),
        ("!!python/object/apply:os.system [ls]", "the tag '!!python/object/apply:os.system' in line 1"),
        ("!!set {a, b}", "the tag '!!set'"),
        ("!!timestamp 2024-01-01", "the tag '!!timestamp'"),
        ("!!int x", "x in line 1 is no int"),
        ("!!bool 1", "1 in line 1 is no bool"),
        (".inf", ".inf in line 1 is no finite number"),
        ("-.Inf", "no finite number"),
        ("a: .nan", "no finite number"),
        ("1e400", "no finite number"),
        ("9" * 5000, "is a number of 5,000 digits"),
        ("[" * 40, "more than 32 values inside each other in line 1"),
        ("a: &a [*a]", "more than 20,000 values, or 32 inside each other, with all that"),
        ("&a {a: *a}", "more than 20,000 values, or 32"),
        ("<<: 1", "<< in line 1 takes the keys of another mapping, not 1"),
        ("x" * 2**21, "it is too large for settings"),
    ],
)
def test_what_is_no_plain_data_is_one_sentence(text, says):
    with pytest.raises(UnskipError, match=says) as raised:
        read_yaml(text, "it")
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("join", ["[{}]", "{{<<: [{}]}}"])
def test_what_stands_for_more_than_memory_holds_is_refused_at_once(join):
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{level}: &a{level} {join.format(', '.join([f'*a{level - 1}'] * 10))}" for level in range(1, 13)]
    with pytest.raises(UnskipError, match="more than 20,000 values"):
        read_yaml("\n".join(lines), "it")


def test_files(tmp_path):
    file = tmp_path / "file.yaml"
    file.write_bytes("\ufeffa: é".encode())
    assert yaml_file(file) == {"a": "é"}
    file.write_bytes(b"a: \xff")
    with pytest.raises(UnskipError, match=r"file.yaml is not YAML: byte 3 is no UTF-8 text"):
        yaml_file(file)
    with open(file, "wb") as endless:
        os.ftruncate(endless.fileno(), 2**40)  # takes no room on the disk
    with pytest.raises(UnskipError, match=r"file.yaml is too large for settings"):
        yaml_file(file)


NUMBERS = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_characters="\0"), max_size=8) | st.sampled_from(
    ["yes", "no", "null", "~", "1e-4", "0o7", "010", "1:30", "2024-01-01", ".inf", "<<", "=", "1_0", "+1", "", "5."]
)
DATA = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(DATA)
@example({"\x85": None})
def test_what_is_written_reads_back_here_and_elsewhere(data):
    text = dump_yaml(data)
    assert same(read_yaml(text, "it"), data)
    assert same(yaml.safe_load(text), data)


def same(one, other):
    """Equal, with 1, 1.0 and true told apart."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    return type(one) is type(other) and one == other
