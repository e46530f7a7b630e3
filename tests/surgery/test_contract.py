"""What holds for every edit: all are found by listing, and a new one is one file."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import unskip.edits
import unskip.surgery
from unskip import NetSpec, UnskipError, load_recipe, make_net
from unskip.surgery import EDITS, build, edit_arguments, edited
from unskip.torchvision_compat import torchvision

GIVEN = {
    "at_depth": {"blocks": (1, 1, 1)},
    "with_depth_statistics": {"depths": [(1, 1, 1)]},
    "with_grouped_convs": {"groups": 2},
    "with_pruned_channels": {"ratio": 0.5},
}
FIRST = {"fold_dirac": [("with_dirac_convs", {})]}  # without it, there is nothing to do
NETS = {"with_lean_stem": ("resnet-basic", {"blocks": [1, 1, 1], "width": 4})}

A_NEW_EDIT = '''"""Another activation."""

from torch import nn

from unskip.surgery import edit


@edit
def with_softplus(net, *, beta: float = 1.0):
    """A copy with softplus for every ReLU."""
    for place, module in list(net.named_modules()):
        if isinstance(module, nn.ReLU):
            net.set_submodule(place, nn.Softplus(beta))
    return net
'''


@pytest.fixture
def a_new_edit(tmp_path, monkeypatch):
    (tmp_path / "with_softplus.py").write_text(A_NEW_EDIT)
    monkeypatch.setattr("unskip.surgery.__path__", [*unskip.surgery.__path__, str(tmp_path)])
    yield tmp_path
    sys.modules.pop("unskip.surgery.with_softplus", None)
    vars(unskip.surgery).pop("with_softplus", None)


def subject(name):
    source, options = NETS.get(name, ("resnet14", {"width": 4}))
    return edited(make_net(source, options), FIRST.get(name, []), seed=1)


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_changes_nothing_but_its_copy_and_records_itself(name):
    net = subject(name)
    before, spec, shape = {key: value.clone() for key, value in net.state_dict().items()}, net.spec, str(net)
    student = EDITS[name](net, **GIVEN.get(name, {}))
    assert student is not net
    assert str(student) != shape or name == "at_depth"
    assert (net.spec, str(net)) == (spec, shape)
    assert all(module.training for module in net.modules())
    for tensor in student.state_dict().values():
        if tensor.is_floating_point():
            tensor.fill_(7)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())

    *earlier, (recorded, arguments) = student.spec.edits
    assert tuple(earlier) == spec.edits
    assert recorded == name
    full = edit_arguments(name, GIVEN.get(name, {}))
    assert arguments == {key: value for key, value in full.items() if value is not None}


@pytest.mark.parametrize("name", EDITS)
def test_the_spec_alone_builds_the_net_again(name):
    student = EDITS[name](subject(name), **GIVEN.get(name, {}))
    again = build(NetSpec.from_json(json.loads(json.dumps(student.spec.to_json()))), seed=3)
    assert again.spec == student.spec
    assert {key: value.shape for key, value in again.state_dict().items()} == {
        key: value.shape for key, value in student.state_dict().items()
    }
    again.load_state_dict(student.state_dict())
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(again.eval()(images), student.eval()(images))


@pytest.mark.parametrize("name", EDITS)
def test_no_edit_repeats_its_name_and_all_are_public(name):
    path = Path(sys.modules[f"unskip.surgery.{name}"].__file__)
    tree = ast.parse(path.read_text())
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert name not in texts
    assert getattr(unskip.edits, name) is EDITS[name]
    assert name in dir(unskip.edits)


def test_an_edit_takes_any_network():
    model = torchvision.models.resnet18(num_classes=3).eval()
    plain = unskip.edits.without_shortcuts(model, keep=["stage4"])
    assert plain.spec is None
    assert len(unskip.surgery.residual_blocks(plain)) == 2
    with pytest.raises(UnskipError, match="Linear"):
        unskip.edits.without_shortcuts(torch.nn.Linear(3, 3))


def test_where_there_is_nothing_to_do_the_net_comes_back():
    net = make_net("resnet14")
    assert unskip.edits.fold_dirac(net) is net
    assert net.spec.edits == ()


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("without_shortcuts", {"kepe": []}, "did you mean 'keep'"),
        ("without_shortcuts", {"keep": "stage2"}, "keep"),
        ("without_shortcuts", {"keep": ["stage9"]}, "no shortcut 'stage9'; did you mean 'stage.'[?] Name blocks"),
        ("with_grouped_convs", {"groups": 2.5}, "groups"),
        ("with_grouped_convs", {"groups": 3}, "3 groups"),
        ("at_depth", {}, "blocks"),
    ],
)
def test_what_an_edit_refuses_begins_with_its_name(name, arguments, says):
    with pytest.raises(UnskipError, match=rf"^{name}: .*{says}"):
        EDITS[name](make_net("resnet14"), **arguments)


def test_an_edit_of_an_unknown_name():
    with pytest.raises(UnskipError, match="no edit 'without_shortcut'; did you mean 'without_shortcuts'"):
        edited(make_net("resnet14"), [("without_shortcut", {})], seed=0)


def test_a_new_edit_is_one_file(a_new_edit):
    assert "with_softplus" in EDITS
    assert EDITS.card("with_softplus") == "A copy with softplus for every ReLU."
    net = unskip.edits.with_softplus(make_net("resnet14"), beta=2.0)
    assert net.spec.edits == (("with_softplus", {"beta": 2.0}),)
    assert str(build(net.spec, seed=0)) == str(net)
    recipe = load_recipe("demo", ["student.edits=[without_shortcuts, with_softplus]"])
    assert recipe.student.edits[1] == {"with_softplus": {"beta": 1.0}}


def test_a_new_edit_is_known_to_the_command_line(a_new_edit):
    start = f"import unskip.surgery; unskip.surgery.__path__.append({str(a_new_edit)!r})"
    command = [sys.executable, "-c", f"{start}\nfrom unskip.cli import main; main()", "inspect", "resnet14"]
    options = ["--set", "width=4", "--image-size", "16", "--json"]
    ended = subprocess.run([*command, *options, "--edit", "with_softplus: {beta: 2.0}"], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "softplus" in ended.stdout.lower()
