import dataclasses
import json
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import torch

from unskip.errors import UnskipError
from unskip.export import export_net
from unskip.measure import Latency, measure_files, measure_latency, speedup
from unskip.measure.processes import COMMAND, Job, Worker, take_turns
from unskip.nets import make_net
from unskip.surgery import without_shortcuts

SHAPE = (3, 16, 16)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("latency")
    net = make_net("resnet14", {"width": 2})
    images = torch.randn(2, *SHAPE)
    return {
        name: export_net(form, folder / f"{name}.onnx", images).path
        for name, form in (("residual", net), ("plain", without_shortcuts(net)))
    }


@pytest.fixture(scope="module")
def job(files):
    return Job(str(files["residual"]), "onnxruntime", SHAPE)


def test_shape_of_a_measurement(files):
    found = measure_latency(files, SHAPE, batch_size=3, threads=1, repeats=7, processes=2)
    assert list(found) == ["residual", "plain"]
    for latency in found.values():
        assert 0 < latency.low_ms <= latency.median_ms <= latency.high_ms
        assert latency.median_ms == np.median(latency.samples_ms)
        assert len(latency.samples_ms) == latency.repeats == 7
        assert (latency.threads, latency.batch_size, latency.processes, latency.device) == (1, 3, 2, "cpu")
        assert latency.runtime == f"ONNX Runtime {onnxruntime.__version__}"
        assert latency.images_per_second == pytest.approx(3000 / latency.median_ms)


def test_no_more_processes_than_rounds(files):
    (latency,) = measure_latency({"net": files["plain"]}, SHAPE, repeats=1, processes=5).values()
    assert (latency.repeats, latency.processes) == (1, 1)


def test_every_measurement_has_fresh_processes_that_take_turns(job, tmp_path, monkeypatch):
    """What the processes note, in the order of time: who was launched, and who was asked when."""
    log = tmp_path / "log"
    _replace_worker(
        monkeypatch,
        tmp_path,
        f"""
        import json, os, sys
        name = json.loads(sys.stdin.readline())["path"]
        def note(what):
            with open({str(log)!r}, "a") as file:
                print(name, what, os.getpid(), file=file)
        note("launched")
        print(json.dumps({{"version": "fake"}}), flush=True)
        for line in sys.stdin:
            command = json.loads(line)
            note(command)
            memory = {{"resident_rise_bytes": None, "device_peak_bytes": None}}
            print(json.dumps({{"warm_up": {{}}, "sample": {{"ms": 1.0}}, "memory": memory}}[command]), flush=True)
        """,
    )
    jobs = {name: dataclasses.replace(job, path=name) for name in ("a", "b", "c")}
    found = take_turns(jobs, repeats=5, processes=2)
    lines = [line.split() for line in log.read_text().splitlines()]
    assert "".join(name for name, what, _ in lines if what == "sample") == "abcbcacababcbca"
    assert "".join(name for name, what, _ in lines if what == "warm_up") == "abcabc"
    assert len({process for *_, process in lines}) == 6
    assert [len(rounds.samples_ms) for rounds in found.values()] == [5, 5, 5]


def test_equal_files_are_equally_fast(files):
    jobs = {name: Job(str(files["residual"]), "onnxruntime", SHAPE, batch_size=8) for name in ("one", "same")}
    found = measure_files(jobs, repeats=30)
    assert speedup(found["one"].latency, found["same"].latency).median == pytest.approx(1, abs=0.5)


def test_the_resident_rise_holds_the_weights(tmp_path):
    """Of 47 MB and 5 kB; what the runtime takes for itself is in both."""
    rises = {}
    for width in (2, 200):
        net = make_net("resnet8", {"width": width})
        path = export_net(net, tmp_path / f"{width}.onnx", torch.randn(2, 3, 8, 8)).path
        measured = measure_files({"net": Job(str(path), "onnxruntime", (3, 8, 8))}, repeats=2, processes=1)["net"]
        rises[width] = measured.resident_rise_bytes
        assert measured.device_peak_bytes is None
    assert rises[200] - rises[2] > 40e6


def test_a_worker_for_onnx_runtime_needs_no_torch(job):
    code = "import sys; from unskip.runtimes.worker import _Running, Job; import json; "
    code += "_Running(Job.from_json(json.loads(sys.argv[1]))).sample(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code, json.dumps(job.to_json())], check=False).returncode == 0


def test_speedup_is_paired_by_round():
    slow = Latency(2.0, 2.0, 2.0, "", 1, 1, 3, (2.0, 20.0, 3.0), 1, "cpu")
    fast = Latency(1.0, 1.0, 1.0, "", 1, 1, 3, (1.0, 10.0, 1.0), 1, "cpu")
    found = speedup(slow, fast)
    assert found.median == 2.0
    assert 2.0 <= found.low <= found.high <= 3.0
    assert found.shows_difference
    assert speedup(fast, fast).high == 1.0
    assert not speedup(fast, fast).shows_difference


def test_speedup_needs_one_measurement():
    slow = Latency(2.0, 2.0, 2.0, "", 1, 1, 2, (2.0, 2.0), 1, "cpu")
    with pytest.raises(ValueError, match="number of rounds"):
        speedup(slow, dataclasses.replace(slow, repeats=1, samples_ms=(2.0,)))


# What goes wrong


def test_a_file_that_is_no_model_is_refused(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(UnskipError, match=r"cannot load .*net\.onnx"):
        measure_latency({"net": path}, SHAPE)
    with pytest.raises(UnskipError, match=r"no file .*gone\.onnx"):
        measure_latency({"net": tmp_path / "gone.onnx"}, SHAPE)


def test_images_that_do_not_fit_are_refused(files):
    with pytest.raises(UnskipError, match=r"takes images of \(3, 16, 16\), not of \(3, 8, 8\)"):
        measure_latency({"net": files["plain"]}, (3, 8, 8))


def test_a_measurement_of_nothing_is_refused(files):
    for settings in ({"repeats": 0}, {"processes": 0}):
        with pytest.raises(UnskipError, match="at least one round and one process"):
            measure_latency(files, SHAPE, **settings)


def test_one_failure_leaves_the_others(files, job, tmp_path):
    jobs = {"gone": dataclasses.replace(job, path=str(tmp_path / "gone.onnx")), "there": job}
    found = measure_files(jobs, repeats=3, processes=2)
    assert str(found["gone"]).startswith("no file")
    assert found["there"].latency.repeats == 3


def test_a_crash_is_told_with_the_last_words(job, tmp_path, monkeypatch):
    _replace_worker(monkeypatch, tmp_path, "import sys; print('out of luck', file=sys.stderr); sys.exit(3)")
    with pytest.raises(UnskipError, match=r"runs .*residual\.onnx in onnxruntime ended with exit code 3: out of luck"):
        measure_latency({"net": job.path}, SHAPE)


def test_a_crash_in_the_middle_is_told(job, tmp_path, monkeypatch):
    _replace_worker(
        monkeypatch,
        tmp_path,
        """
        import os, sys
        sys.stdin.readline()
        print('{"version": "fake"}', flush=True)
        sys.stdin.readline()
        os.abort()
        """,
    )
    with pytest.raises(UnskipError, match="was killed by SIGABRT"):
        measure_latency({"net": job.path}, SHAPE)


def test_silence_is_told_and_the_process_ends(job, tmp_path):
    program = tmp_path / "silent.py"
    program.write_text("import time\ntime.sleep(600)\n")
    silent = Worker(job, command=(sys.executable, str(program)), patience_seconds=0.2)
    with silent as worker, pytest.raises(UnskipError, match=r"gives no answer within 0\.2 seconds"):
        worker.answer()
    assert worker._process.returncode is not None


def test_a_process_ends_with_the_one_that_started_it(job):
    """The input closes, as it does when a parent is killed."""
    process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    print(json.dumps(job.to_json()), file=process.stdin, flush=True)
    assert "ONNX Runtime" in process.stdout.readline()
    process.stdin.close()
    assert process.wait(timeout=60) == 0
    process.stdout.close()


def test_ctrl_c_leaves_no_process(job, monkeypatch):
    started = []
    answer = Worker.answer

    def interrupted(worker):
        started.append(worker)
        if len(started) == 2:
            raise KeyboardInterrupt
        return answer(worker)

    monkeypatch.setattr(Worker, "answer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure_files({"one": job, "two": job}, repeats=2)
    assert [worker._process.returncode is not None for worker in started] == [True, True]


def _replace_worker(monkeypatch, folder, text):
    """Have another program run in the place of the worker."""
    program = folder / "worker.py"
    program.write_text("\n".join(line.removeprefix("        ") for line in text.strip("\n").splitlines()))
    monkeypatch.setattr(
        Worker.__init__, "__kwdefaults__", Worker.__init__.__kwdefaults__ | {"command": (sys.executable, str(program))}
    )
