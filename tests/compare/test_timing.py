import dataclasses
import json
import subprocess
import sys

import pytest
import torch

from unskip.compare.timing import COMMAND, Job, Worker, measure_files
from unskip.errors import UnskipError
from unskip.export import export_net
from unskip.nets import make_net
from unskip.records import Figure, speedup
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
    jobs = {name: Job(str(path), "onnxruntime", SHAPE, batch_size=3) for name, path in files.items()}
    found = measure_files(jobs, repeats=7, processes=2)
    assert list(found) == ["residual", "plain"]
    for timing in found.values():
        assert len(timing.milliseconds) == 7
        assert min(timing.milliseconds) > 0
        assert len(timing.resident_rise_bytes) == len(timing.device_peak_bytes) == 2


def test_no_more_processes_than_rounds(job):
    (timing,) = measure_files({"net": job}, repeats=1, processes=5).values()
    assert len(timing.milliseconds) == len(timing.resident_rise_bytes) == 1


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
    found = measure_files(jobs, repeats=5, processes=2)
    lines = [line.split() for line in log.read_text().splitlines()]
    assert "".join(name for name, what, _ in lines if what == "sample") == "abcbcacababcbca"
    assert "".join(name for name, what, _ in lines if what == "warm_up") == "abcabc"
    assert len({process for *_, process in lines}) == 6
    assert [len(timing.milliseconds) for timing in found.values()] == [5, 5, 5]


def test_equal_files_are_equally_fast(files):
    jobs = {name: Job(str(files["residual"]), "onnxruntime", SHAPE, batch_size=8) for name in ("one", "same")}
    found = measure_files(jobs, repeats=30)
    one, same = (Figure.of_samples(timing.milliseconds) for timing in found.values())
    assert speedup(one, same).median == pytest.approx(1, abs=0.5)


def test_the_resident_rise_holds_the_weights(tmp_path):
    """Of 47 MB and 5 kB; what the runtime takes for itself is in both."""
    rises = {}
    for width in (2, 200):
        net = make_net("resnet8", {"width": width})
        path = export_net(net, tmp_path / f"{width}.onnx", torch.randn(2, 3, 8, 8)).path
        measured = measure_files({"net": Job(str(path), "onnxruntime", (3, 8, 8))}, repeats=2, processes=1)["net"]
        rises[width] = measured.resident_rise_bytes[0]
        assert measured.device_peak_bytes == [None]
    assert rises[200] - rises[2] > 40e6


def test_a_worker_for_onnx_runtime_needs_no_torch(job):
    code = "import sys; from unskip.runtimes._worker import _Running, Job; import json; "
    code += "_Running(Job.from_json(json.loads(sys.argv[1]))).sample(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code, json.dumps(job.to_json())], check=False).returncode == 0


# What goes wrong


def refusal(job, **changes):
    """What is said in the place of a timing."""
    (timing,) = measure_files({"net": dataclasses.replace(job, **changes)}).values()
    assert isinstance(timing, UnskipError)
    return str(timing)


def test_a_file_that_is_no_model_is_refused(job, tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"no model")
    assert f"cannot load {path}" in refusal(job, path=str(path))
    assert refusal(job, path=str(tmp_path / "gone.onnx")) == f"no file {tmp_path / 'gone.onnx'}"


def test_images_that_do_not_fit_are_refused(job):
    assert "takes images of (3, 16, 16), not of (3, 8, 8)" in refusal(job, input_shape=(3, 8, 8))


def test_one_failure_leaves_the_others(files, job, tmp_path):
    jobs = {"gone": dataclasses.replace(job, path=str(tmp_path / "gone.onnx")), "there": job}
    found = measure_files(jobs, repeats=3, processes=2)
    assert str(found["gone"]).startswith("no file")
    assert len(found["there"].milliseconds) == 3


def test_a_crash_is_told_with_the_last_words(job, tmp_path, monkeypatch):
    _replace_worker(monkeypatch, tmp_path, "import sys; print('out of luck', file=sys.stderr); sys.exit(3)")
    assert refusal(job).endswith("residual.onnx in onnxruntime ended with exit code 3: out of luck")


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
    assert "was killed by SIGABRT" in refusal(job)


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
