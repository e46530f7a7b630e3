"""A user's own modules: allowed by the user, never by a file; and what their factories may be and do."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from unskip import NetSpec, StagedNet, UnskipError, allow_module, build, load_net, make_net, own_code, save_net
from unskip.cli import main
from unskip.data_info import DataInfo

HOME = """
    import functools, os, pathlib, shutil, subprocess
    from os import system
    from subprocess import run
    import torch
    from torch import nn
    from torch.hub import load
    from unskip import CE

    pathlib.Path("imported").touch()

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, x):
            return torch.relu(x + self.conv(x))

    def build(num_classes: int = 10) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), Block(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                             nn.Linear(4, num_classes))

    narrow = functools.partial(build, num_classes=3)

    @functools.lru_cache
    def cached():
        return build()

    def writes(path="written") -> None:
        pathlib.Path(path).touch()

    def text() -> "str":
        pathlib.Path("written").touch()

    wipe = functools.partial(shutil.rmtree, "somewhere")

    class Method(CE):
        pass

    class NoNet:
        def __init__(self):
            pathlib.Path("written").touch()

    def exits():
        raise SystemExit("own words")

    def quits():
        os.sys.exit(0)

    def raises():
        raise KeyError("own words\\nand more")

    class Odd(BaseException):
        pass

    def odd():
        raise Odd("own words")

    class Forward(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = build()

        def forward(self, x):
            raise SystemExit(0)

    class LateForward(Forward):
        def forward(self, x):
            if isinstance(x, torch.fx.Proxy):
                raise LookupError("own words")
            return self.net(x)
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder with a module of the user's own, and nothing allowed."""
    (tmp_path / "home_nets.py").write_text(textwrap.dedent(HOME))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(own_code, "_allowed", set())
    yield tmp_path
    sys.modules.pop("home_nets", None)


def command(monkeypatch, capsys, *words: str) -> tuple[int, str]:
    """The exit code and all that is printed, on one line."""
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.setattr(sys, "argv", ["unskip", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0), " ".join("".join(capsys.readouterr()).split())


def stranger_s_file(path: Path, source: str, options: dict[str, object]) -> Path:
    """A weights file of a plausible network whose header names another."""
    net = make_net("resnet8", {"width": 2})
    net.spec = NetSpec(source, options)
    save_net(net, path, DataInfo(tuple("0123456789"), (3, 8, 8), (0.5,) * 3, (0.5,) * 3))
    return path


# Who may allow


def test_a_spec_alone_imports_nothing(home):
    spec, path = NetSpec("home_nets:build"), list(sys.path)
    with pytest.raises(UnskipError, match="`allow_module=home_nets`"):
        build(spec, seed=0)
    assert "home_nets" not in sys.modules
    assert not (home / "imported").exists()
    assert sys.path == path
    allow_module("home_nets")
    assert isinstance(build(spec, seed=0), StagedNet)


def test_to_name_a_net_allows_its_module(home):
    net = make_net("home_nets:build")
    assert isinstance(build(net.spec, seed=0), StagedNet)
    save_net(net, home / "net.safetensors", DataInfo(tuple("0123456789"), (3, 8, 8), (0.5,) * 3, (0.5,) * 3))
    assert load_net(home / "net.safetensors")[0].spec == net.spec


def test_a_package_allows_what_is_in_it_and_no_other(home):
    for folder in ("nets_a", "nets_ab"):
        (home / folder).mkdir()
        (home / folder / "inner.py").write_text(textwrap.dedent(HOME))
    allow_module("nets_a")
    assert isinstance(build(NetSpec("nets_a.inner:build"), seed=0), StagedNet)
    with pytest.raises(UnskipError, match=r"`allow_module=nets_ab\.inner`"):
        build(NetSpec("nets_ab.inner:build"), seed=0)
    for name in ("nets_a", "nets_a.inner"):
        sys.modules.pop(name)


@pytest.mark.parametrize("name", ["", "a b", "home_nets:build", "os", "torch.hub", "torchvision", "../x"])
def test_what_cannot_be_allowed(name):
    with pytest.raises(UnskipError, match="allow_module"):
        allow_module(name)


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("os:system", {"command": "touch canary"}),
        ("builtins:eval", {"source": "open('canary', 'w')"}),
        ("subprocess:run", {"args": ["touch", "canary"]}),
        ("torch:load", {"f": "x.pth", "weights_only": False}),
        ("torch.hub:load", {"repo_or_dir": "x"}),
        ("home_nets:build", {}),
    ],
)
@pytest.mark.parametrize(
    "words", [("inspect",), ("evaluate",), ("export",), ("bench",), ("fit-budget", "--macs", "1M")]
)
def test_a_weights_file_runs_nothing(home, monkeypatch, capsys, source, options, words):
    stranger_s_file(home / "net.safetensors", source, options)
    code, said = command(monkeypatch, capsys, words[0], "net.safetensors", *words[1:])
    assert code == 2
    assert source in said
    assert "Traceback" not in said
    assert not (home / "canary").exists()
    assert not (home / "imported").exists()


def test_a_recipe_runs_nothing_and_a_command_line_may(home, monkeypatch, capsys):
    (home / "recipe.yaml").write_text("teacher: {net: 'home_nets:build'}\ndata: {path: nowhere, name: image_folder}\n")
    code, said = command(monkeypatch, capsys, "run", "recipe.yaml")
    assert (code, (home / "imported").exists()) == (2, False)
    assert "allow it: --allow-module home_nets" in said
    plain = ("recipe.yaml", "--set", "teacher.net=resnet8")
    matching = ("--method", "fade_kd", "--set", "teacher.accept_weak=true")
    for words in (
        ("recipe.yaml", "--allow-module", "home_nets"),
        ("recipe.yaml", "--teacher", "home_nets:build"),
        ("recipe.yaml", "--set", "teacher.net=home_nets:build"),
        ("recipe.yaml", "--set", "teacher={net: 'home_nets:build'}"),
        (*plain, "--set", "student.net=home_nets:build", "--method", "kd"),
        (*plain, "--set", "methods.mine.method=home_nets:Method"),
        (*plain, "--set", "methods={mine: {method: 'home_nets:Method'}}"),
        (*plain, *matching, "--set", "task={name: matching, score: 'home_nets:build'}"),
    ):
        own_code._allowed.clear()
        code, said = command(monkeypatch, capsys, "run", *words)
        assert code == 2
        assert "nowhere" in said  # it went on to the images


def test_a_deployed_file_names_no_code(home, monkeypatch, capsys):
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    value = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, 8, 8]) for name in "xy"]
    model = helper.make_model(helper.make_graph([helper.make_node("Relu", "x", "y")], "g", value[:1], value[1:]))
    net = json.dumps(NetSpec("home_nets:build").to_json())
    helper.set_model_props(model, {"net": net, "image_shape": "[3, 8, 8]"})
    onnx.save(model, home / "a.onnx")
    code, said = command(monkeypatch, capsys, "bench", "a.onnx")
    assert (code, (home / "imported").exists()) == (2, False)
    assert "allow it: --allow-module home_nets" in said


# What a factory may be


@pytest.mark.parametrize("name", ["build", "narrow", "cached"])
def test_factories(home, name):
    assert isinstance(make_net(f"home_nets:{name}"), StagedNet)


@pytest.mark.parametrize("name", ["system", "run", "load", "writes", "text", "wipe", "NoNet", "Path", "os", "print"])
def test_what_is_no_factory_is_not_called(home, name):
    (home / "somewhere").mkdir()
    with pytest.raises(UnskipError, match="home_nets"):
        make_net(f"home_nets:{name}", {})
    assert not (home / "written").exists()
    assert (home / "somewhere").exists()


@pytest.mark.parametrize("source", ["os:system", "subprocess:run", "builtins:eval", "torch:load", "torch.hub:load"])
def test_modules_of_python_and_torch_are_nobody_s_own(home, source):
    with pytest.raises(UnskipError, match="not a module of your own"):
        make_net(source, {})


def test_a_package_may_hand_out_what_its_modules_define(home):
    (home / "nets_c").mkdir()
    (home / "nets_c" / "inner.py").write_text(textwrap.dedent(HOME))
    (home / "nets_c" / "__init__.py").write_text("from nets_c.inner import build")
    assert isinstance(make_net("nets_c:build"), StagedNet)
    for name in ("nets_c", "nets_c.inner"):
        sys.modules.pop(name)


# What a factory may do


@pytest.mark.parametrize(
    ("name", "saying"),
    [
        ("exits", r"home_nets:exits cannot be made with .*ends the program \(SystemExit: own words\)"),
        ("quits", r"home_nets:quits cannot be made with .*ends the program \(SystemExit: 0\)"),
        ("raises", r"home_nets:raises cannot be made with .*KeyError: 'own words"),
        ("odd", "home_nets:odd cannot be made with .*Odd: own words"),
        ("Forward", "home_nets:Forward: its forward fails: it ends the program"),
        ("LateForward", "home_nets:LateForward: .*own words"),
    ],
)
def test_what_own_code_raises_is_a_sentence(home, name, saying, monkeypatch, capsys):
    with pytest.raises(UnskipError, match=saying) as caught:
        make_net(f"home_nets:{name}", {})
    assert "\n" not in str(caught.value)
    assert command(monkeypatch, capsys, "inspect", f"home_nets:{name}")[0] == 2


def test_ctrl_c_stays_what_it_is(home):
    (home / "interrupted_nets.py").write_text("def build():\n    raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        make_net("interrupted_nets:build")
    sys.modules.pop("interrupted_nets")


@pytest.mark.parametrize(
    ("text", "saying"),
    [
        ("def build(:", "SyntaxError"),
        ("raise SystemExit(0)", "ends the program"),
        ("import no_such_module_at_all", "No module named 'no_such_module_at_all'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import sys; sys.path.clear()\ndef build(): raise OSError('own words')", "OSError: own words"),
    ],
)
def test_modules_that_cannot_be_imported(home, text, saying, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (home / "broken_nets.py").write_text(text)
    with pytest.raises(UnskipError, match=f"broken_nets:build.*{saying}") as caught:
        make_net("broken_nets:build")
    assert "\n" not in str(caught.value)
    sys.modules.pop("broken_nets", None)


@pytest.mark.slow
def test_the_whole_way_in_processes_of_their_own(home):
    """A run of an own net, evaluated without and with the option, as a user would."""
    python = [sys.executable, "-m", "unskip"]
    small = "data.limit=40 data.test_limit=20 training.epochs=1 measure.latency=false measure.parity_images=4"
    settings = [word for setting in small.split() for word in ("--set", setting)]
    (home / "grey_nets.py").write_text(textwrap.dedent(HOME).replace("Conv2d(3,", "Conv2d(1,"))

    def said(*words: str) -> tuple[int, str]:
        done = subprocess.run([*python, *words], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    run = ["run", "--teacher", "grey_nets:build", "--method", "kd", *settings, "--out", "run"]
    assert said(*run)[0] == 0
    assert said(*run)[0] == 0  # complete: the same command finds it
    code, text = said("evaluate", "run")
    assert (code, "--allow-module grey_nets" in text) == (2, True)
    code, text = said("evaluate", "run", "--allow-module", "grey_nets")
    assert (code, "top-1" in text) == (0, True)
