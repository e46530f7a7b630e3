"""`unskip study` on the command line; its cells are imitated, but for one slow test."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml
from records import samples
from study.tiny import TINY

from cli.commands import refused, unskip
from unskip.listing import named_studies
from unskip.run_folder import only_process

IMITATION = Path(__file__).parents[1] / "study" / "imitation.py"
MINE = {
    "title": "Two nets, two methods",
    "recipe": "demo",
    "set": {
        "data.limit": 100,
        "data.test_limit": 50,
        "training.epochs": 1,
        "measure.latency": False,
        "measure.parity_images": 20,
        "teacher.options.width": 4,
        "teacher.accept_weak": True,
    },
    "grids": TINY["grids"],
    "derived": {"lost": {"best": "*kd", "minus": "teacher"}},
}


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(MINE, sort_keys=False))
    return tmp_path


def test_the_studies_are_listed(tmp_path):
    listed = unskip("study", at=tmp_path)
    assert listed.code == 0
    for name in named_studies():
        assert f"{name} " in listed.out


@pytest.mark.parametrize(
    ("arguments", "saying"),
    [
        (["alignkd-tabel1"], "did you mean 'alignkd-table1'"),
        (["mine.yaml", "--quick"], "no quick form; leave --quick out"),
        (["mine.yaml", "--only", "nets=8"], "--only 'nets=8'.*did you mean 'net'"),
        (["mine.yaml", "--data", "nowhere=digits"], "--data 'nowhere=digits'.*digits"),
        (["mine.yaml", "--on", "slrm"], "no engine 'slrm'"),
        (["mine.yaml", "--on-set", "gpu=1"], "gpu: unknown key"),
        (["mine.yaml", "--out", "."], "choose another --out"),
        (["mine.yaml", "--launch", "torchrun '"], "--launch"),
    ],
)
def test_what_cannot_be_is_refused_in_the_words_of_the_command(mine, arguments, saying):
    refused("study", *arguments, at=mine, saying=saying)


def test_a_dry_run_says_what_is_shared_and_writes_nothing(mine):
    ended = unskip("study", "mine.yaml", "--dry-run", "--seeds", "2", "--only", "net=8", at=mine)
    assert ended.code == 0
    assert "4 runs, seeds 0, 1" in ended.out
    assert "teacher 2 4 0 " in ended.out  # trainings, the runs that have one of them, and those that are done
    assert "kd 2 2 0 " in ended.out
    assert "about " in ended.out
    assert [file.name for file in mine.iterdir()] == ["mine.yaml"]


def test_a_study_whose_images_are_missing_asks_for_them_once(mine):
    study = (mine / "mine.yaml").read_text()
    tree = yaml.safe_load(study)
    tree["set"] |= {"data.name": "parquet", "data.path": "nowhere"}
    (mine / "other.yaml").write_text(yaml.safe_dump(tree))
    said = refused("study", "other.yaml", "--seeds", "1", at=mine, saying="no cell has its images.*nowhere")
    assert said.count("nowhere") < 4


def test_a_study_is_run_and_its_page_written(mine):
    (mine / "pace").write_text("0")
    (mine / "results").mkdir()
    for net, method in (("8", "kd"), ("8", "align_kd"), ("14", "kd"), ("14", "align_kd")):
        run = samples.changed(samples.run((method,), epochs=1), seed=0)
        file = mine / "results" / f"net-{net}_method-{method}_seed-0"
        file.write_text(json.dumps(run.model_dump(mode="json")))
    (mine / "fails-net-14_method-kd_seed-0").touch()
    launch = shlex.join([sys.executable, str(IMITATION)])
    command = ["study", "mine.yaml", "--seeds", "1", "--out", "out", "--launch", launch]
    failed = unskip(*command, at=mine)
    assert failed.code == 1
    assert "failed: runs/net-14_method-kd_seed-0: the images are not there" in failed.out
    assert {"study.json", "study.html", "study.csv", "study.tex"} <= {file.name for file in (mine / "out").iterdir()}
    (mine / "fails-net-14_method-kd_seed-0").unlink()
    assert unskip(*command, at=mine).code == 0
    states = [cell["state"] for cell in json.loads((mine / "out" / "study.json").read_text())["cells"]]
    assert states == ["done"] * 4
    starts = [json.loads(line)["cell"] for line in (mine / "starts").read_text().splitlines() if '"end"' in line]
    assert len(starts) == len(set(starts)) == 4
    with only_process(mine / "out"):
        refused(*command, at=mine, saying="another unskip .* is working in out; .*--out")


@pytest.mark.slow
def test_real_cells_killed_twice_are_each_run_once(mine):
    """Two nets, two methods, three seeds on digits."""
    command = [sys.executable, "-m", "unskip", "study", "mine.yaml", "--out", "out", "--jobs", "2"]

    def done():
        return {file.parent.name: file.stat().st_mtime_ns for file in (mine / "out").glob("runs/*/run.json")}

    for least in (1, 5):
        process = subprocess.Popen(command, cwd=mine, stdout=subprocess.DEVNULL, env=os.environ)
        until = time.monotonic() + 900
        while len(done()) < least and time.monotonic() < until and process.poll() is None:
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()
        before = done()
        assert least <= len(before) < 12
    ended = subprocess.run(command, cwd=mine, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert len(done()) == 12
    assert {name: done()[name] for name in before} == before, "what was done is not run again"
    record = json.loads((mine / "out" / "study.json").read_text())
    assert {tuple(sorted(entry["measured"])) for entry in record["entries"]} == {("0", "1", "2")}
    trained = Counter(
        (cell["seed"], net["label"], cell["labels"]["net"])
        for cell in record["cells"]
        for net in json.loads((mine / "out" / cell["run"] / "run.json").read_text())["nets"]
        if not net["reused"] and net["role"] == "teacher"
    )
    assert set(trained.values()) == {1}, "each teacher is trained once"
    assert len(trained) == 6
