"""Cells go to engines: in which order, and that none is lost, run twice or started beside itself."""

import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from unskip.errors import UnskipError
from unskip.run_folder import only_process
from unskip.study import running
from unskip.study.cells import cells_of
from unskip.study.engines import ENGINES, local, make_engine
from unskip.study.folder import StudyFolder
from unskip.study.running import Launch, carry_out_all

IMITATION = Path(__file__).with_name("imitation.py")
LAUNCH = Launch((sys.executable, str(IMITATION)))


class Carried:
    """A study of four cells that an imitation of `unskip run` carries out."""

    def __init__(self, study, folder, pace):
        self.top = folder
        self.home = StudyFolder(folder / "study")
        self.cells = list(cells_of(study, [0], self.home.path).cells.values())
        self.said, self.lost = [], []
        self.pace(pace)

    def pace(self, seconds):
        (self.top / "pace").write_text(str(seconds))

    def run(self, engine):
        with engine:
            return carry_out_all(
                self.cells,
                self.home,
                engine,
                LAUNCH,
                ended=lambda cell, why, seconds: self.said.append((cell.folder, why)),
                lost=lambda cell: self.lost.append(cell.folder),
            )

    @property
    def notes(self):
        file = self.top / "starts"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def wait_for(self, what, number=1):
        """The first note of this kind, when there are so many."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            found = [note for note in self.notes if note["what"] == what]
            if len(found) >= number:
                return found
            time.sleep(0.02)
        raise AssertionError(f"never seen: {what}; {self.notes}")

    def check_complete(self):
        """Every cell is done, and no epoch of any was run twice."""
        epochs = Counter((note["cell"], note["what"]) for note in self.notes if note["what"] != "start")
        assert set(epochs.values()) == {1}
        assert len(epochs) == len(self.cells) * 6


@pytest.fixture(autouse=True)
def short_looks(monkeypatch):
    """Looks at what cells of a tenth of a second do."""
    monkeypatch.setattr(running, "_BETWEEN", 0.1)
    monkeypatch.setattr(local, "_BETWEEN", 0.02)


@pytest.fixture
def carried(tiny, study_of, tmp_path):
    return Carried(study_of(tiny), tmp_path, 0.02)


def test_cells_that_need_one_teacher_wait_until_it_is_there(carried):
    outcome = carried.run(make_engine("local", jobs=4))
    assert len(outcome.finished) == 4
    carried.check_complete()
    for net in ("8", "14"):
        of_net = [note for note in carried.notes if f"net-{net}_" in note["cell"]]
        first, second = sorted((n for n in of_net if n["what"] == "start"), key=lambda note: note["at"])
        trained = next(n for n in of_net if n["cell"] == first["cell"] and n["what"] == "epoch 2")
        assert second["at"] > trained["at"]


@pytest.mark.parametrize(("settings", "at_once"), [({}, 2), ({"teacher.weights": "mine.pth"}, 4)])
def test_only_cells_that_train_a_teacher_are_waited_for(tiny, study_of, tmp_path, settings, at_once):
    """Of four cells with two teachers two begin, and all four where their teachers are given."""
    tiny["set"] |= settings
    carried = Carried(study_of(tiny), tmp_path, 0.0)
    nobody = {"ended": lambda *told: None, "lost": lambda cell: None}
    cells = running._Running(carried.cells, carried.home, make_engine("local"), LAUNCH, **nobody)
    assert len(cells._ready(4)) == at_once
    for cell in cells._ready(4):
        cells._started(cell)
    assert len(cells._ready(4)) == 0


def test_a_teacher_that_was_begun_is_gone_on_with(carried):
    """By the cell that began it, even while what is left of its process still holds its folder."""
    nobody = {"ended": lambda *told: None, "lost": lambda cell: None}
    begun = next(cell for cell in carried.cells if cell.folder.endswith("net-8_method-align_kd_seed-0"))
    checkpoint = carried.home.run(begun).checkpoint("teacher")
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    cells = running._Running(carried.cells, carried.home, make_engine("local"), LAUNCH, **nobody)
    names = ["runs/net-14_method-kd_seed-0", begun.folder]
    assert sorted(cell.folder for cell in cells._ready(4)) == names
    with only_process(carried.home.run(begun).path):
        assert [cell.folder for cell in cells._ready(4)] == names[:1]


def test_what_is_done_is_not_run_again(carried):
    carried.run(make_engine("local", jobs=2))
    before = carried.notes
    assert carried.run(make_engine("local", jobs=2)).finished == []
    assert carried.notes == before


def test_a_failure_is_kept_and_the_others_go_on(carried):
    broken = carried.cells[1]
    (carried.top / f"fails-{Path(broken.folder).name}").touch()
    outcome = carried.run(make_engine("local", jobs=2))
    assert outcome.failed == {broken.folder: "the images are not there"}
    assert len(outcome.finished) == 3
    assert (carried.home.state(broken), carried.home.why(broken)) == ("failed", "the images are not there")
    (carried.top / f"fails-{Path(broken.folder).name}").unlink()
    assert carried.run(make_engine("local")).finished == [broken]
    assert carried.home.why(broken) == ""
    carried.check_complete()


def test_cells_start_behind_the_runs_that_they_need(tiny, study_of, tmp_path):
    tiny["before"] = {"first": {"set": {"data.name": "digits", "methods": {"kd": {}}}}}
    tiny["set"]["student.initial_weights"] = "before:first/kd"
    carried = Carried(study_of(tiny), tmp_path, 0.0)
    carried.run(make_engine("local", jobs=4))
    starts = [note["cell"] for note in carried.notes if note["what"] == "start"]
    assert starts[0] == "before-first_seed-0"
    ended = next(note["at"] for note in carried.notes if note["what"] == "end")
    assert all(note["at"] > ended for note in carried.notes if note["what"] == "start" and note["cell"] != starts[0])


def test_cells_fail_with_the_run_that_they_need(tiny, study_of, tmp_path):
    tiny["before"] = {"first": {"set": {"data.name": "digits", "methods": {"kd": {}}}}}
    tiny["set"]["student.initial_weights"] = "before:first/kd"
    carried = Carried(study_of(tiny), tmp_path, 0.0)
    (tmp_path / "fails-before-first_seed-0").touch()
    outcome = carried.run(make_engine("local"))
    assert len(outcome.failed) == 5
    assert all("the images are not there" in why for why in outcome.failed.values())


def test_a_study_that_is_killed_leaves_no_process_and_goes_on(carried):
    """Twice."""
    for _ in range(2):
        carried.pace(0.2)
        before = len([note for note in carried.notes if note["what"] == "epoch 3"])
        child = os.fork()
        if child == 0:
            carried.run(make_engine("local", jobs=2))
            os._exit(0)
        carried.wait_for("epoch 3", before + 1)
        carried.pace(60)  # what is not ended now stays for a minute
        time.sleep(0.3)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        until = time.monotonic() + 30
        while any(runs(note["pid"]) for note in carried.notes):
            assert time.monotonic() < until
            time.sleep(0.05)
    carried.pace(0.01)
    carried.run(make_engine("local", jobs=2))
    assert carried.home.state(carried.cells[0]) == "done"
    carried.check_complete()


def test_an_engine_and_its_settings_are_named():
    assert set(ENGINES) == {"local", "ray", "slurm"}
    with pytest.raises(UnskipError, match="no engine 'slrum'; did you mean 'slurm'"):
        make_engine("slrum")
    with pytest.raises(UnskipError, match="thread: unknown key; did you mean 'threads'"):
        make_engine("local", ["thread=2"])


@pytest.mark.parametrize(("engine", "package"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_package_that_is_missing_is_named(engine, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UnskipError, match=rf"pip install 'unskip\[{engine}\]'"):
        make_engine(engine)


@pytest.mark.slow
def test_a_worker_of_ray_that_is_killed_loses_nothing(carried):
    ray = pytest.importorskip("ray")
    carried.pace(0.5)
    killed = []
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    try:

        def kill_a_worker():
            note = carried.wait_for("epoch 1")[0]
            killed.append(note["cell"])
            watcher = parent_of(note["pid"])
            os.kill(parent_of(watcher), signal.SIGKILL)

        killer = threading.Thread(target=kill_a_worker)
        killer.start()
        outcome = carried.run(make_engine("ray"))
        killer.join()
    finally:
        ray.shutdown()
    assert len(outcome.finished) == 4
    assert len(carried.lost) == 1
    starts = Counter(note["cell"] for note in carried.notes if note["what"] == "start")
    assert sorted(starts.values()) == [1, 1, 1, 2]
    assert starts[killed[0]] == 2
    of_its_net = [note["cell"] for note in carried.notes if note["what"] == "start" and killed[0][:5] in note["cell"]]
    assert of_its_net[:2] == killed * 2, "it goes on with its teacher before another cell could train the same"
    carried.check_complete()


@pytest.mark.slow
def test_jobs_of_submitit(carried):
    pytest.importorskip("submitit")
    outcome = carried.run(make_engine("slurm", ["executor=local", "minutes=5"], jobs=2))
    assert len(outcome.finished) == 4
    carried.check_complete()


def runs(process):
    """Whether there is such a process, and it is none that only waits to be forgotten."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def parent_of(process):
    """The number of a process's parent."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
