"""Run folders that are damaged, of another shape, or none."""

import json
import shutil

import pytest
from hypothesis import strategies as st

from .harness import World, fuzz
from .values import PLAIN, damaged

READERS = [["report"], ["inspect"], ["evaluate"], ["evaluate", "--net", "teacher"]]
COMMANDS = st.sampled_from([*READERS, *READERS, ["export", "--images", "5"]])
FEW = ["--set", "data.test_limit=10"]


def carry_out(world: World, command: list[str], target: object) -> None:
    few = FEW if command[0] in ("evaluate", "export") else []
    out = ["--out", "exported"] if command[0] == "export" else []
    world.unskip(*command, *few, *out, "--", target)


@pytest.fixture(scope="module", autouse=True)
def right(world, trained):
    (world.folder / "exported").mkdir()
    shutil.copytree(trained, world.folder / "right")
    for command in (["report"], ["evaluate"], ["inspect"], ["export", "--images", "5"]):
        carry_out(world, command, "right")


def places(data: object, prefix: tuple = ()) -> list[tuple]:
    """The places of all values in plain data."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [prefix, *(place for key, value in items for place in places(value, (*prefix, key)))]


LIKELY = st.sampled_from(
    [None, 0, -1, 1.5, 10**30, float("nan"), float("inf"), "", "x", "../x", "\0", [], {}, [[]], True]
)


@fuzz(15, 500, data=st.data(), command=COMMANDS, gone=st.integers(0, 3))
def test_results_of_another_shape(world, data, command, gone):
    results = json.loads((world.folder / "right" / "run.json").read_text())
    node, place = results, data.draw(st.sampled_from(places(results)[1:]))
    for key in place[:-1]:
        node = node[key]
    if gone:
        node[place[-1]] = data.draw(LIKELY | PLAIN)
    else:
        del node[place[-1]]
    home = copied(world)
    (home / "run.json").write_text(json.dumps(results))
    carry_out(world, command, home)


FILES = [
    "run.json",
    "recipe.yaml",
    "environment.json",
    "metrics.jsonl",
    "nets/ce.safetensors",
    "nets/teacher.safetensors",
    "export/ce.onnx",
]


@fuzz(
    15,
    500,
    data=st.data(),
    command=COMMANDS,
    file=st.sampled_from(FILES),
    what=st.sampled_from(["damaged", "gone", "folder", "empty", "link", "noise"]),
)
def test_damaged_files(world, data, command, file, what):
    home = copied(world)
    path = home / file
    content = path.read_bytes()
    path.unlink()
    match what:
        case "damaged":
            path.write_bytes(data.draw(damaged(content)))
        case "folder":
            path.mkdir()
        case "empty":
            path.write_bytes(b"")
        case "link":
            path.symlink_to(path)
        case "noise":
            path.write_bytes(data.draw(st.binary(max_size=100)))
    carry_out(world, command, home)
    if file == "recipe.yaml":
        world.refused("run", "demo", "--set", "seed=77", "--out", home)


@fuzz(3, 60, file=st.sampled_from(FILES), what=st.sampled_from(["gone", "empty", "noise"]))
def test_the_same_run_again(world, file, what):
    """A run goes on with what is there, or says what is wrong."""
    home = copied(world)
    recipe = world.folder / "again.yaml"
    shutil.copyfile(home / "recipe.yaml", recipe)
    (home / file).unlink()
    if what != "gone":
        (home / file).write_bytes(b"" if what == "empty" else b"\x00noise")
    world.unskip("run", recipe, "--out", home)


NAMES = [
    "",
    ".",
    "/",
    "..",
    "a\nb",
    "-",
    "--",
    "x" * 300,
    "x" * 5000,
    "\x1b[31m",
    "a b",
    "nowhere/",
    "/dev/null",
    "/dev/zero",
    "~",
    "*",
    "\udc80",
]
NAMES += [
    "empty",
    "file",
    "link",
    "nowhere:teacher",
    "right:nobody",
    "right:",
    ":",
    "a:b:c",
    "run.json",
    "right/run.json",
    "right/recipe.yaml",
]
ALL = st.sampled_from(["report", "evaluate", "export", "inspect", "bench", "fit-budget"])


@fuzz(40, 250, command=ALL, name=st.sampled_from(NAMES) | st.text(max_size=8))
def test_names_of_all_sorts(world, command, name):
    (world.folder / "empty").mkdir(exist_ok=True)
    (world.folder / "file").write_bytes(b"\x00\x01")
    (world.folder / "link").unlink(missing_ok=True)
    (world.folder / "link").symlink_to("link")
    budget = ["--memory", "1MiB", "--no-latency"] if command == "fit-budget" else []
    world.refused(command, *budget, "--", name)


@fuzz(
    8,
    60,
    name=st.sampled_from(
        [name for name in NAMES if name not in (".", "..", "/", "~", "*", "a b", "nowhere/", "empty", "")]
    ),
)
def test_folders_to_run_in(world, name):
    (world.folder / "file").write_bytes(b"\x00\x01")
    world.refused("run", "demo", "--set", "data={name: image_folder, path: nowhere}", f"--out={name}")


def copied(world: World):
    home = world.folder / "copy"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(world.folder / "right", home)
    return home
