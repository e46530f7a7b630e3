"""Every benchmark still runs, at toy size: what it prints, not how fast it is."""

import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cli.commands import unskip, write_recipe
from PIL import Image

from unskip.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "benchmarks"
TARGET = "ethos-u55-128"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run on digits with a network whose channels suit an Ethos-U."""
    folder = tmp_path_factory.mktemp("run")
    teacher = {"net": "resnet14", "options": {"width": 16}}
    ended = unskip("run", write_recipe(folder / "toy.yaml", teacher=teacher, methods={"ce": {}}), at=folder)
    assert ended.code == 0, ended.err
    return folder / "runs" / "toy"


@pytest.fixture(scope="module")
def graph(run):
    """The integers of a file for an Ethos-U."""
    ended = unskip("export", run, "--target", TARGET, at=run)
    assert ended.code == 0, ended.err
    return next(run.rglob("ce*.tosa"))


def ran(command, at):
    """What a script prints."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])}
    name, *words = shlex.split(command)
    asked = [sys.executable, str(SCRIPTS / name), *words]
    ended = subprocess.run(asked, cwd=at, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout


def test_data_pipeline(tmp_path):
    assert "ratio" in ran("data_pipeline.py --images 300 --repetitions 1 --batch-size 50", tmp_path)


def test_data_pipeline_of_photographs(tmp_path):
    for split, count in (("train", 8), ("test", 2)):
        for name in ("cat", "dog"):
            (tmp_path / "pets" / split / name).mkdir(parents=True)
            for index in range(count):
                image = Image.effect_noise((90, 70), 50).convert("RGB")
                image.save(tmp_path / "pets" / split / name / f"{index}.jpg")
    words = "--photographs pets --images 16 --batch-size 4 --workers 1 --repetitions 1"
    assert "first epoch" in ran(f"data_pipeline.py {words}", tmp_path)


def test_streaming(tmp_path):
    encoded = io.BytesIO()
    Image.effect_noise((40, 30), 50).convert("RGB").save(encoded, "JPEG")
    images = [{"bytes": encoded.getvalue(), "path": None}] * 20
    pq.write_table(pa.table({"image": images, "label": [0, 1] * 10}), tmp_path / "pets.parquet")
    said = ran("streaming.py --images pets.parquet --rows 300 600 --window-gib 1e-4 --size 16", tmp_path)
    assert said.count("images/s") == 2
    assert "600 rows" in said


def test_photograph_folder(tmp_path):
    encoded = io.BytesIO()
    Image.effect_noise((80, 70), 50).convert("RGB").save(encoded, "JPEG")
    images = [{"bytes": encoded.getvalue(), "path": None}] * 4
    for split in ("train", "test"):
        pq.write_table(pa.table({"image": images, "label": [0, 1] * 2}), tmp_path / f"{split}-0.parquet")
    said = ran("photograph_folder.py --images . --count 30 --width 4 --size 16 --batch-size 10 --epochs 1", tmp_path)
    assert "30 files listed" in said
    assert "epoch 1: " in said


def test_processes(tmp_path):
    said = ran("processes.py --width 4 --limit 100 --epochs 1 --batch-size 20 --processes 2", tmp_path)
    rows = [line.split() for line in said.splitlines()[2:]]
    assert [row[:2] for row in rows] == [["2", "processes"], ["2", "nodes"]]
    assert all(float(row[-1]) < 1e-4 for row in rows)


def test_growth(tmp_path):
    sizes = "--largest width=16 classes=100 --batch-size 4 --seconds 0.1"
    assert ran(f"growth.py growth.json {sizes} --axes width", tmp_path).count("exponents") == 1
    first = json.loads((tmp_path / "growth.json").read_text())["points"]
    said = ran(f"growth.py growth.json {sizes} --axes width classes --picture growth.svg", tmp_path)
    assert said.count("exponents") == 2
    points = json.loads((tmp_path / "growth.json").read_text())["points"]
    assert points[:2] == first, "what was measured is not measured again"
    assert [(point["axis"], point["value"]) for point in points] == [
        ("width", 8),
        ("width", 16),
        ("classes", 10),
        ("classes", 100),
    ]
    assert all(point["ms"] > 0 and point["mib"] > 0 for point in points)
    assert "prefers-color-scheme: dark" in (tmp_path / "growth.svg").read_text().replace(":dark", ": dark")


@pytest.mark.parametrize(
    ("peer", "methods"), [("repdistiller", ["kd", "attention", "nst"]), ("jointrd", ["joint", "ta"])]
)
def test_peers(tmp_path, peer, methods):
    clone, images = (os.environ.get(name) for name in (f"UNSKIP_{peer.upper()}", "UNSKIP_TEST_DATA"))
    if not clone or not images:
        pytest.skip(f"UNSKIP_{peer.upper()} names no clone of it, or UNSKIP_TEST_DATA no images")
    nets = "--teacher resnet14 --student resnet8 --images 20 --batch-size 10 --repetitions 1"
    said = ran(f"peers.py --{peer} {clone} --data {images}/cifar10 {nets}", tmp_path)
    assert [line.split()[0] for line in said.splitlines()[1:]] == methods


def test_step_time(tmp_path):
    said = ran("step_time.py --nets resnet14 --width 4 --batch-size 4 --threads 1 --repeats 2", tmp_path)
    assert all(name in said for name in ("align_kd", "joint_rd", "stagewise_kd"))


def test_gpu(tmp_path):
    sizes = "--net resnet14 --width 4 --batch-sizes 8 --seconds 0.02 --minutes 0.05"
    ran(f"gpu.py --only check steps {sizes} --json found.json", tmp_path)
    rows = json.loads((tmp_path / "found.json").read_text())
    assert {row["part"] for row in rows} == {"machine", "check", "steps"}
    assert rows[-1] == {"part": "steps", "left_out": "the time is for the training now"}


def test_gpu_trains_as_long_as_fits(tmp_path):
    sizes = "--data digits --limit 200 --net resnet14 --width 4 --batch-sizes 20 --minutes 0.2"
    ran(f"gpu.py --only loop training {sizes} --json found.json", tmp_path)
    last = json.loads((tmp_path / "found.json").read_text())[-1]
    assert -1 <= last["student_less_teacher"] <= 1


def test_rates_of_trained(tmp_path):
    assert "align_kd" in ran("rates_of_trained.py --only align_kd --rates 0.05 --seeds 0", tmp_path)


def test_forecast_against_vela(tmp_path):
    assert "without_shortcuts" in ran("forecast_against_vela.py", tmp_path)


def test_sign_nets():
    ended = unskip("inspect", "sign_nets:held", "--allow-module", "sign_nets", "--image-size", 112, at=SCRIPTS)
    assert ended.code == 0, ended.err


def test_devices(tmp_path):
    ran(f"devices.py found.jsonl --net resnet18 --target {TARGET}", tmp_path)
    ran("devices.py found.jsonl --write found.json", tmp_path)
    assert json.loads((tmp_path / "found.json").read_text())


def test_integers(graph, tmp_path):
    assert "equal: True" in ran(f"integers.py '{graph}' --images 2 --repeats 1", tmp_path)


def test_equal_integers(run, tmp_path):
    said = ran(f"equal_integers.py '{run}' --nets ce --target {TARGET} --test-limit 20", tmp_path)
    assert "proved against: 20 images: the same answer to 100.00 %" in said


def test_eight_bits(run, tmp_path):
    command = f"eight_bits.py '{run}' --nets ce --quantisers xnnpack --test-limit 20 --biases kept corrected"
    rows = [line for line in ran(command, tmp_path).splitlines() if "/ce | xnnpack | by" in line]
    assert [row.split(" | ")[2:4] for row in rows] == [
        [f"by {scales}", biases] for scales in ("channel", "tensor") for biases in ("kept", "corrected")
    ]


def test_saturation(run, tmp_path):
    lines = ran(f"saturation.py '{run}' --nets teacher --test-limit 20 --fitted", tmp_path).splitlines()
    assert len(lines) == 7
    assert all("of 20 images, logits off by" in line and ", top-1 " in line for line in lines)
    found = re.compile(r"no pair saturates, .*: the same answer to (\d+.\d) %")
    exactly, here = (float(found.search(line).group(1)) for line in lines[-2:])
    assert abs(exactly - here) <= 10, "the same on every processor, but for ties"


def test_fitting(run, tmp_path):
    weights = RunFolder(run).weights("teacher")
    (tmp_path / "own.py").write_text(
        "from unskip import make_net\n"
        "def net():\n    return make_net('resnet14', {'width': 16, 'in_channels': 1, 'num_classes': 10})\n"
    )
    command = f"fitting.py 'own:net={weights}' --data digits --images 128 --passes 1 --seeds 0 --test-limit 40"
    said = ran(f"{command} --mean 0.3 --std 0.4 --allow-module own --answers 0 1 2 3 4 5 6 7 8 9", tmp_path)
    assert "6 shortcuts, 40 test images" in said
    assert re.search(r"fitted on 128 images, 1 passes, seed 0: \d+\.\d\d \(6 blocks", said)
    pytest.importorskip("ethosu", reason="the extra ethos-u is not installed")
    said = ran(f"{command} --mean 0.3 --std 0.4 --allow-module own --target ethos-u55-64", tmp_path)
    assert len(re.findall(r", \d+\.\d\d as a file for ethos-u55-64", said)) == 2


def test_every_script_has_a_test():
    names = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {path.stem for path in SCRIPTS.glob("*.py")} <= names
