"""Deployed files: damaged bytes, metadata of another shape, archives that hold what is never read."""

import io
import json
import pickle
import zipfile

import onnx
import pytest
import torch
from hypothesis import strategies as st

from unskip.data_info import DataInfo
from unskip.export import export_net
from unskip.nets import make_net
from unskip.surgery import without_shortcuts

from .harness import CANARY_MODULE, fuzz
from .test_weights import Evil
from .values import PLAIN, damaged

INFO = DataInfo(tuple("0123456789"), (1, 8, 8), (0.3,), (0.4,))
IMAGES = ["--data", "digits", "--set", "data.test_limit=10"]


@pytest.fixture(scope="module", autouse=True)
def right(world):
    """Right files, which commands take: ``right.onnx`` and ``right.pt2``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = without_shortcuts(make_net("resnet8", {"width": 2, "num_classes": 10, "in_channels": 1}))
        images = torch.randn(4, *INFO.image_shape)
    for name in ("right.onnx", "right.pt2"):
        export_net(net.eval(), world.folder / name, images, metadata=INFO.to_json())
        world.unskip("evaluate", name, *IMAGES, codes=(0,))


@fuzz(30, 300, ending=st.sampled_from(["onnx", "pt2"]), data=st.data())
def test_damaged_bytes(world, ending, data):
    content = (world.folder / f"right.{ending}").read_bytes()
    (world.folder / f"file.{ending}").write_bytes(data.draw(damaged(content)))
    world.unskip("evaluate", f"file.{ending}", *IMAGES)


LIKELY = st.sampled_from(
    ["", "{}", "[]", "null", "3", '"x"', "[1, 8]", "[0, 8, 8]", "[3, 8, 8]", "[1e9, 8, 8]", "NaN", "[NaN]"]
)
CODE = json.dumps({"source": f"{CANARY_MODULE}:net", "options": {}, "edits": []})
SHELL = json.dumps({"source": "os:system", "options": {"command": "touch canary"}, "edits": []})
KEYS = ["classes", "image_shape", "mean", "std", "net", "normalization", "precision", "depths", "label", "more"]


@fuzz(
    40,
    400,
    changes=st.dictionaries(
        st.sampled_from(KEYS),
        LIKELY | st.sampled_from([CODE, SHELL, None]) | PLAIN.map(json.dumps) | st.text(max_size=20),
        min_size=1,
        max_size=3,
    ),
    depth=st.sampled_from([None, None, "1", ""]),
)
def test_metadata(world, changes, depth):
    """None removes an entry."""
    model = onnx.load(world.folder / "right.onnx")
    facts = {entry.key: entry.value for entry in model.metadata_props}
    del model.metadata_props[:]
    for key, value in {**facts, **changes}.items():
        if value is not None:
            model.metadata_props.add(key=key, value=value.encode(errors="replace").decode())
    onnx.save(model, world.folder / "file.onnx")
    world.unskip("evaluate", "file.onnx", *IMAGES, *(["--depth", depth] if depth is not None else []))
    world.unskip("bench", "file.onnx", "--runtime", "torch", "--no-accuracy")  # torch runs no .onnx: nothing is timed


@fuzz(15, 150, place=st.integers(0, 50), evil=st.booleans(), more=st.text(max_size=10))
def test_archives_with_pickles(world, place, evil, more):
    """Every entry of a right .pt2 in turn is a pickle that runs a command, or noise."""
    with zipfile.ZipFile(world.folder / "right.pt2") as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    target = sorted(entries)[place % len(entries)]
    entries[target] = pickle.dumps(Evil()) if evil else more.encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    (world.folder / "file.pt2").write_bytes(buffer.getvalue())
    world.unskip("evaluate", "file.pt2", *IMAGES)


@fuzz(20, 100, ending=st.sampled_from(["onnx", "pt2", "pte", "xml", "tflite", "pt"]), content=st.binary(max_size=50))
def test_anything_as_a_file(world, ending, content):
    (world.folder / f"any.{ending}").write_bytes(content)
    world.refused("evaluate", f"any.{ending}", *IMAGES)
