"""What OpenVINO alone asks of its user."""

import os
import subprocess
import sys
import textwrap

import torch

from unskip.export import export_net
from unskip.nets import make_net


def test_signals_are_survived_after_programs_went_in_any_order(tmp_path):
    net = make_net("resnet8", {"width": 2, "in_channels": 1}).eval()
    file = export_net(net, tmp_path / "net.xml", torch.rand(3, 1, 8, 8)).path
    code = f"""
        import gc, os, signal
        from pathlib import Path
        from unskip.runtimes import find_runtime

        signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
        programs = [find_runtime("openvino").load(Path({str(file)!r})) for _ in range(3)]
        while programs:
            del programs[0]
            gc.collect()
        os.kill(os.getpid(), signal.SIGUSR1)
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "handled\n"), ended.stderr


def test_its_telemetry_is_left_out_for_us_and_left_alone_for_others(tmp_path):
    """A process that measures files, too: it imports what they need beforehand."""
    code = """
        import sys
        from unskip.runtimes import find_runtime

        find_runtime("openvino").import_libraries()
        assert "openvino" in sys.modules and "openvino_telemetry" not in sys.modules

        import openvino_telemetry
        from unskip.runtimes.openvino import library

        assert library().get_version()
        assert sys.modules["openvino_telemetry"] is openvino_telemetry
    """
    environment = {**os.environ, "HOME": str(tmp_path)}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert ended.returncode == 0, ended.stderr
    assert not list(tmp_path.iterdir())
