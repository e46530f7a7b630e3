import pytest
import torch

from unskip.training import Checkpoint


def state(number):
    return {"state": {"step": number, "history": [{"loss": 0.5}]}, "weights": {"a": torch.full((3,), float(number))}}


@pytest.fixture
def checkpoint(tmp_path):
    return Checkpoint(tmp_path / "deep" / "net.ckpt")


def test_nothing_is_none(checkpoint):
    assert checkpoint.load() is None


def test_the_newest_comes_back(checkpoint):
    for number in range(3):
        checkpoint.save(state(number))
    loaded = checkpoint.load()
    assert loaded["state"] == state(2)["state"]
    assert torch.equal(loaded["weights"]["a"], state(2)["weights"]["a"])
    assert sorted(p.name for p in checkpoint.path.parent.iterdir()) == ["net.ckpt", "net.ckpt.previous"]


@pytest.mark.parametrize("damage", ["torn", "empty", "flipped", "foreign", "missing"])
def test_a_damaged_file_is_noticed_and_the_one_before_it_used(checkpoint, damage):
    checkpoint.save(state(1))
    checkpoint.save(state(2))
    data = checkpoint.path.read_bytes()
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    if damage == "missing":
        checkpoint.path.unlink()
        assert checkpoint.load()["state"]["step"] == 1
        return
    contents = {
        "torn": data[: len(data) // 2],
        "empty": b"",
        "flipped": bytes(flipped),
        "foreign": b"PK\x03\x04" + data,
    }
    checkpoint.path.write_bytes(contents[damage])
    with pytest.warns(UserWarning, match="damaged"):
        assert checkpoint.load()["state"]["step"] == 1
    checkpoint.previous.write_bytes(b"")
    with pytest.warns(UserWarning, match="damaged"):
        assert checkpoint.load() is None


def test_a_write_that_fails_leaves_the_state_before_it(checkpoint, monkeypatch):
    checkpoint.save(state(1))
    monkeypatch.setattr("unskip.training.checkpoint.write_bytes", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        checkpoint.save(state(2))
    assert checkpoint.load()["state"]["step"] == 1


def test_remove(checkpoint):
    checkpoint.remove()
    checkpoint.save(state(1))
    checkpoint.save(state(2))
    checkpoint.remove()
    assert checkpoint.load() is None
