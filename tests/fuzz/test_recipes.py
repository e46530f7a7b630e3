"""Recipes as files: any bytes, any YAML, and a right recipe damaged."""

import os

import pytest
import yaml
from hypothesis import strategies as st

from unskip.recipe import load_recipe

from .harness import fuzz
from .values import PLAIN, damaged

# Right, but for its data: so a command that reads it ends with 2 before it trains, whatever else was changed.
RIGHT = """\
title: A small one
data: {name: image_folder, path: nowhere, limit: 100, padding: 2}
teacher:
  net: resnet14
  options: {width: 4}
  training: &short {epochs: 2, batch_size: 32, optimizer: {name: adam, lr: 1e-3, betas: [0.9, 0.99]}}
student:
  edits: [{without_shortcuts: {only: [stage1]}}]
methods:
  align_kd: {alpha: 0.3, taps: [stage1, stage3]}
  second: {method: kd, temperature: 2}
training:
  <<: *short
  schedule: {name: step, milestones: [0.5, 0.75]}
measure: {latency: false}
seed: 3
"""


@fuzz(40, 500, content=damaged(RIGHT.encode()))
def test_a_damaged_recipe(world, content):
    (world.folder / "recipe.yaml").write_bytes(content)
    with world.sentence():
        assert load_recipe(world.folder / "recipe.yaml")
    if b"nowhere" in content:
        world.refused("run", "recipe.yaml")


@fuzz(40, 400, content=st.binary(max_size=200) | PLAIN.map(lambda data: yaml.dump(data).encode(errors="replace")))
def test_anything_as_a_recipe(world, content):
    (world.folder / "recipe.yaml").write_bytes(content)
    world.refused("run", "recipe.yaml", "--set", "data={name: image_folder, path: nowhere}")


def laughs(levels: int, width: int) -> str:
    """A text of some hundred bytes that stands for ``width ** levels`` values."""
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, levels + 1)]
    return "\n".join(lines)


def merges(levels: int, width: int) -> str:
    """The same by merge keys."""
    lines = ["a0: &a0 {x: 1, y: 2}"]
    lines += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * width)}]}}" for i in range(1, levels + 1)]
    return "\n".join(lines)


OPENINGS = st.sampled_from(["[", "{a: ", "- ", "? ", "[[a]: "])
LOOPS = st.sampled_from(["a: &a [*a]", "&a {a: *a}", "&a [[[*a]]]", "a: &a {<<: *a}", "? &a [*a]\n: 1"])
TAGS = st.sampled_from(["python/name:os.system", "python/object/apply:os.system", "binary", "timestamp", "set", "omap"])
NO_DATA = st.sampled_from(
    [
        *("seed: 1\nseed: 2", "1: 2", "null: 1", "[a]: 1", "{a: 1}: 1", "!!binary aGk=: 1", "seed: 1\n---\nseed: 2"),
        *("\x00", "a: \x1b", "seed:\n\t1", "%YAML 9.9\n--- {}", "seed: *a", '"\\UFFFFFFFF": 1', 'title: "\\0"'),
    ]
)
BOMBS = st.one_of(
    st.builds(laughs, st.integers(5, 30), st.integers(8, 20)),
    st.builds(merges, st.integers(5, 30), st.integers(8, 20)),
    st.builds(lambda opening, count: opening * count, OPENINGS, st.integers(40, 5000)),
    st.builds(lambda count: f"seed: {'9' * count}", st.integers(41, 10_000)),
    st.builds(lambda tag: f"seed: !!{tag} 1", TAGS),
    st.builds(lambda count: "title: " + "x" * count, st.integers(501, 2**20 + 100)),
    LOOPS,
    NO_DATA,
)


@fuzz(50, 400, text=BOMBS)
def test_what_is_large_deep_or_no_data_is_refused(world, text):
    (world.folder / "recipe.yaml").write_text(text)
    world.refused("run", "recipe.yaml")


@pytest.mark.parametrize("kind", ["folder", "pipe", "endless", "missing", "dash", "empty", "long", "line"])
def test_what_is_no_file(world, kind):
    places = {
        "endless": "/dev/zero",
        "missing": "no/such.yaml",
        "dash": "-",
        "empty": "",
        "long": "x" * 5000,
        "line": "a\nb",
    }
    if kind == "folder":
        (world.folder / "folder.yaml").mkdir()
    elif kind == "pipe":
        os.mkfifo(world.folder / "pipe.yaml")
    world.refused("run", "--", places.get(kind, f"{kind}.yaml"))
