"""Archives that would run code: refused before torch reads them, and nothing has been run."""

import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from unskip import UnskipError
from unskip.runtimes import runtime_for
from unskip.runtimes._pt2_archive import check_archive


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, 5)

    def forward(self, x):
        return self.fc(torch.nn.functional.interpolate(self.conv(x), size=2).mean((2, 3)))


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("pt2") / "net.pt2"
    batch = torch.export.Dim("batch")
    program = torch.export.export(Net(), (torch.zeros(2, 3, 8, 8),), dynamic_shapes=({0: batch},))
    torch.export.save(program, path)
    return path


class Canary:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def changed(good: Path, path: Path, change) -> Path:
    """The archive with its records, by their names without the folder, changed."""
    with zipfile.ZipFile(good) as archive:
        records = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    change(records)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in records.items():
            archive.writestr(f"net/{name}", content)
    return path


def saved(value) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


WEIGHTS, CONSTANTS = "data/weights/model_weights_config.json", "data/constants/model_constants_config.json"
GRAPH = "models/model.json"


def in_json(record: str, edit):
    def change(records, canary):
        tree = json.loads(records[record])
        edit(tree, canary)
        records[record] = json.dumps(tree).encode()

    return change


def pickled_weight(records, canary):
    tree = json.loads(records[WEIGHTS])
    tree["config"]["fc.bias"] |= {"use_pickle": True, "path_name": "weight_9"}
    records[WEIGHTS] = json.dumps(tree).encode()
    records["data/weights/weight_9"] = saved(Canary(canary))


def constant(name: str, content):
    def change(records, canary):
        meta = json.loads(records[WEIGHTS])["config"]["fc.bias"] | {"path_name": name, "use_pickle": True}
        records[CONSTANTS] = json.dumps({"config": {"lifted": meta}}).encode()
        records[f"data/constants/{name}"] = content(canary)

    return change


def record(name: str, content):
    return lambda records, canary: records.update({name: content(canary)})


def code(canary: Path) -> str:
    return f"__import__('pathlib').Path({str(canary)!r}).touch()"


def first_size(tree, canary):
    for value in tree["graph_module"]["graph"]["tensor_values"].values():
        for size in value["sizes"]:
            if "as_expr" in size:
                size["as_expr"]["expr_str"] = code(canary)


def first_node(**fields):
    def edit(tree, canary):
        tree["graph_module"]["graph"]["nodes"][0] |= {
            name: value(canary) if callable(value) else value for name, value in fields.items()
        }

    return edit


def argument_names(tree, canary):
    tree["graph_module"]["module_call_graph"][0]["signature"]["forward_arg_names"] = [f"x={code(canary)}"]


def parameter_name(tree, canary):
    tree["graph_module"]["signature"]["input_specs"][0]["parameter"]["parameter_name"] = f'a"), {code(canary)}, ("'


def input_tree(tree, canary):
    signature = tree["graph_module"]["module_call_graph"][0]["signature"]
    signature["in_spec"] = signature["in_spec"].replace("builtins.tuple", "collections.namedtuple")


ATTACKS = {
    "weight": pickled_weight,
    "constant": constant("tensor_9", lambda canary: saved(Canary(canary))),
    "opaque constant": constant("opaque_obj_0", lambda canary: pickle.dumps(Canary(canary))),
    "custom object": constant("custom_obj_0", lambda canary: saved(Canary(canary))),
    "sample inputs": record("data/sample_inputs/model.pt", lambda canary: saved((Canary(canary),))),
    "old weights": record("data/weights/model.pt", lambda canary: saved({"a": Canary(canary)})),
    "old constants": record("data/constants/model.pt", lambda canary: saved({"a": Canary(canary)})),
    "compiled library": record("data/aotinductor/model/a.wrapper.so", lambda canary: b"\x7fELF"),
    "second network": record("models/other.json", lambda canary: b"{}"),
    "expression": in_json(GRAPH, first_size),
    "operation on files": in_json(GRAPH, first_node(target="torch.ops.aten.from_file.default")),
    "function of torch": in_json(GRAPH, first_node(target="torch.hub.load")),
    "name of a node": in_json(GRAPH, first_node(name=code)),
    "names of arguments": in_json(GRAPH, argument_names),
    "name of a parameter": in_json(GRAPH, parameter_name),
    "form of the inputs": in_json(GRAPH, input_tree),
    "deep graph": lambda records, canary: records.update({GRAPH: b"[" * 100_000}),
    "no payloads": lambda records, canary: records.update({WEIGHTS: b"[]"}),
}


def test_what_torch_writes_is_loaded(good, tmp_path):
    check_archive(good)
    same = changed(good, tmp_path / "same.pt2", lambda records: None)
    program = runtime_for(same).load(same)
    assert program(np.zeros((3, 3, 8, 8), np.float32)).shape == (3, 5)


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_could_run_code_is_refused_unread(good, tmp_path, attack):
    canary = tmp_path / "canary"
    path = changed(good, tmp_path / "evil.pt2", lambda records: ATTACKS[attack](records, canary))
    with pytest.raises(UnskipError, match="evil") as caught:
        runtime_for(path).load(path)
    assert "\n" not in str(caught.value)
    assert not canary.exists()


def test_the_archive_of_older_versions_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "old.pt2", "w") as archive:
        archive.writestr("version", "8.20")
        archive.writestr("serialized_state_dict.pt", saved({"a": Canary(tmp_path / "canary")}))
    with pytest.raises(UnskipError, match=r"old.pt2 .*not in one folder"):
        runtime_for(tmp_path / "old.pt2").load(tmp_path / "old.pt2")
    assert not (tmp_path / "canary").exists()


def test_archives_that_unpack_to_more_than_they_are(good, tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.pt2", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net/data/weights/weight_0", b"\0" * 10_000_000)
    with pytest.raises(UnskipError, match="compressed"):
        check_archive(tmp_path / "bomb.pt2")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_files_that_are_cut_short(good, tmp_path, share):
    content = good.read_bytes()
    (tmp_path / "cut.pt2").write_bytes(content[: int(share * len(content))])
    with pytest.raises(UnskipError, match="cut"):
        runtime_for(good).load(tmp_path / "cut.pt2")
