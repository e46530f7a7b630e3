"""Weights files: safetensors whose bytes, header or tensors are damaged, and checkpoints of every making."""

import io
import json
import os
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import strategies as st

from unskip.data_info import DataInfo
from unskip.nets import make_net
from unskip.weights import load_net, load_weights, save_net

from .harness import CANARY_MODULE, fuzz
from .values import PLAIN, damaged

OPTIONS = {"width": 2, "num_classes": 10, "in_channels": 1}
INFO = DataInfo(tuple("0123456789"), (1, 8, 8), (0.3,), (0.4,))


def small_net():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make_net("resnet8", OPTIONS)


def saved(path: Path) -> bytes:
    save_net(small_net(), path, INFO)
    return path.read_bytes()


@pytest.fixture(scope="module", autouse=True)
def right(world):
    """A right file, which commands take."""
    saved(world.folder / "right.safetensors")
    world.unskip("inspect", "right.safetensors", codes=(0,))


@fuzz(40, 400, seed=st.data())
def test_damaged_bytes(world, seed):
    content = (world.folder / "right.safetensors").read_bytes()
    size = int.from_bytes(content[:8], "little") + 8  # damage the header as often as the weights
    if seed.draw(st.booleans()):
        content = seed.draw(damaged(content[:size])) + content[size:]
    else:
        content = seed.draw(damaged(content))
    (world.folder / "file.safetensors").write_bytes(content)
    with world.sentence():
        load_net(world.folder / "file.safetensors")
    world.unskip("inspect", "file.safetensors")


SPEC = {"source": "resnet8", "options": OPTIONS, "edits": []}
CODE = {"source": f"{CANARY_MODULE}:net", "options": {}, "edits": []}
SHELL = {"source": "os:system", "options": {"command": "touch canary"}, "edits": []}


@st.composite
def headers(draw: st.DrawFn) -> dict:
    """The facts of a right header, with one or two of them of another value, of another shape, or gone."""
    facts: dict = {"net": SPEC, "classes": list(INFO.classes), "image_shape": [1, 8, 8], "mean": [0.3], "std": [0.4]}
    for _ in range(draw(st.integers(1, 2))):
        key = draw(st.sampled_from([*facts, "more"]))
        likely = st.sampled_from(
            [CODE, SHELL, [], {}, None, 3, "x", [1, 8], [0, 8, 8], [1, -8, 8], [3, 8, 8], [1.5, 8, 8], ["1", 8, 8]]
        )
        wrong_spec = st.builds(lambda k, v: {**SPEC, k: v}, st.sampled_from(list(SPEC)), PLAIN)
        value = draw(PLAIN | likely | (wrong_spec if key == "net" else likely))
        facts[key] = value
        if draw(st.integers(0, 4)) == 0:
            facts.pop(key, None)
    return facts


@fuzz(
    40, 600, facts=headers(), twice=st.booleans(), whole=st.sampled_from(["object", "object", "object", "list", "text"])
)
def test_headers_of_another_shape(world, facts, twice, whole):
    """``twice``: values are JSON texts, as unskip writes them; else they are what they are."""
    if twice:
        facts = {key: json.dumps(value) for key, value in facts.items()}
    data = {"object": facts, "list": [facts], "text": "x"}[whole]
    file = world.folder / "file.safetensors"
    file.write_bytes(safetensors.torch.save(small_net().state_dict(), metadata={"unskip": json.dumps(data)}))
    world.unskip("inspect", file)
    world.unskip("evaluate", file, "--data", "digits", "--set", "data.test_limit=10")
    world.unskip(
        "run", "demo", "--set", f"teacher.weights={file}", "--teacher", "resnet8", "--set", "training.epochs=0"
    )


class Evil:
    """What pickle calls when it is read."""

    def __reduce__(self):
        return os.system, ("touch canary",)


def wrapped(tensors: dict, kind: str) -> object:
    """A state dict as people save it, or something else."""
    evil = {**tensors, "x": Evil()}
    return {
        "plain": tensors,
        "state_dict": {"state_dict": tensors, "epoch": 3},
        "model": {"model": tensors},
        "ordered": OrderedDict(tensors),
        "list": list(tensors.values()),
        "tensor": next(iter(tensors.values())),
        "nested": {"a": {"b": tensors}},
        "number": 3,
        "none": None,
        "numbers as keys": dict(enumerate(tensors.values())),
        "half none": {**tensors, "x": None},
        "empty": {},
        "evil": evil,
        "evil wrapped": {"state_dict": evil},
        "module": small_net(),
    }[kind]


KINDS = ["plain", "state_dict", "model", "ordered", "list", "tensor", "nested", "number", "none", "numbers as keys"]
KINDS += ["half none", "empty", "evil", "evil wrapped", "module"]
TYPES = {
    "double": torch.float64,
    "half": torch.float16,
    "int8": torch.int8,
    "complex": torch.complex64,
    "bool": torch.bool,
}
CHANGES = st.sampled_from([*TYPES, "shape", "nan", "renamed", "gone", "scalar", "sparse"])


def changed(tensors: dict, changes: list[tuple[str, str]]) -> dict:
    """Tensors of a net with some of another type, another shape, not finite, renamed or gone."""
    tensors = dict(tensors)
    for name, change in changes:
        tensor = tensors.pop(name, None)
        if tensor is None or change == "gone":
            continue
        others = {
            "shape": lambda t: t[None],
            "nan": lambda t: t * float("nan"),
            "scalar": lambda t: torch.zeros(()),
            "sparse": lambda t: t.to_sparse(),
            "renamed": lambda t: t,
        }
        tensors[f"x.{name}" if change == "renamed" else name] = (
            tensor.to(TYPES[change]) if change in TYPES else others[change](tensor)
        )
    return tensors


@fuzz(
    40,
    600,
    changes=st.lists(st.tuples(st.sampled_from(list(small_net().state_dict())), CHANGES), max_size=3),
    kind=st.sampled_from(KINDS),
    ending=st.sampled_from([".pth", ".pt", ".ckpt", ""]),
    pickled=st.booleans(),
    data=st.data(),
)
def test_checkpoints(world, changes, kind, ending, pickled, data):
    buffer = io.BytesIO()
    content = wrapped(changed(small_net().state_dict(), changes), kind)
    pickle.dump(content, buffer) if pickled else torch.save(content, buffer)
    is_cut = data.draw(st.integers(0, 3)) == 0
    file = world.folder / f"weights{ending}"
    file.write_bytes(data.draw(damaged(buffer.getvalue())) if is_cut else buffer.getvalue())
    with world.sentence():
        net = small_net()
        load_weights(net, file)
        net(torch.zeros(2, 1, 8, 8))
    has_weights = kind in ("plain", "state_dict", "model", "ordered", "nested", "half none")
    if not has_weights and data.draw(st.integers(0, 2)) == 0:  # a command takes far longer than a file
        short = ["--set", "training.epochs=1", "--set", "data.limit=20", "--set", "teacher.options.width=2"]
        world.refused("run", "--teacher", "resnet8", "--set", f"teacher.weights={file}", *short)
