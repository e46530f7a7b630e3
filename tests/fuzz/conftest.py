import pytest

from .harness import World


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    found = World(tmp_path_factory.mktemp("fuzz"))
    found.prepare()
    return found


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder ``run`` in which two tiny networks were trained on digits, with what a run leaves."""
    home = World(tmp_path_factory.mktemp("trained"))
    small = {
        "data.limit": 60,
        "data.test_limit": 30,
        "teacher.options.width": 2,
        "training.epochs": 1,
        "training.batch_size": 30,
        "measure.latency": "false",
        "measure.parity_images": 10,
    }
    changes = [word for key, value in small.items() for word in ("--set", f"{key}={value}")]
    home.unskip("run", "--teacher", "resnet8", "--method", "ce", *changes, "--out", "run", codes=(0,))
    return home.folder / "run"
