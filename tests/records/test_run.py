import json
from pathlib import Path
from typing import Any

import pytest

from records import samples
from unskip.errors import UnskipError
from unskip.records import Run


def run(*methods: tuple[str, ...]) -> dict[str, Any]:
    """What a file holds."""
    return samples.run(*methods).model_dump(mode="json")


def write(folder: Path, text: str) -> Path:
    (folder / "run.json").write_text(text)
    return folder


def test_a_folder_without_a_run_says_what_to_do(tmp_path):
    with pytest.raises(UnskipError, match=r"run\.json is missing.*`unskip run` first"):
        Run.read(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "\x00", "[" * 100_000])
def test_what_is_not_a_run_is_refused(tmp_path, text):
    with pytest.raises(UnskipError, match=r"run\.json"):
        Run.read(write(tmp_path, text))


def test_what_is_not_text_is_refused(tmp_path):
    (tmp_path / "run.json").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(UnskipError, match="cannot be read as JSON"):
        Run.read(tmp_path)


@pytest.mark.parametrize("key", ["best", "nets", "comparison", "data", "seed"])
def test_a_missing_key_is_named(tmp_path, key):
    record = run()
    del record[key]
    with pytest.raises(UnskipError, match=key):
        Run.read(write(tmp_path, json.dumps(record)))


def test_what_was_written_reads_back(tmp_path):
    record = Run.model_validate(run())
    assert Run.read(write(tmp_path, json.dumps(record.model_dump(mode="json"), allow_nan=False))) == record


def test_best_is_a_student():
    with pytest.raises(ValueError, match="best is 'teacher', which is no student"):
        Run.model_validate({**run(), "best": "teacher"})


def test_there_is_one_teacher_and_labels_differ():
    record = run()
    with pytest.raises(ValueError, match="exactly one teacher"):
        Run.model_validate({**record, "nets": record["nets"][1:]})
    with pytest.raises(ValueError, match="must have the subjects"):
        Run.model_validate({**record, "nets": [*record["nets"], record["nets"][1]]})


def test_every_net_is_a_subject_with_a_score_of_the_task():
    record = run()
    with pytest.raises(ValueError, match="must have the subjects"):
        Run.model_validate({**record, "nets": record["nets"][:-1], "best": "kd"})
    with pytest.raises(ValueError, match="every net must have agreement from 0 to 1"):
        Run.model_validate({**record, "metric": "agreement"})


def test_the_score_is_the_nets_own_and_the_files_beside_it():
    record = run()
    record["comparison"]["groups"][0]["cells"][3]["figures"]["top1"] = {"value": 0.5}
    read = Run.model_validate(record)
    assert read.score(read.best_student) == 0.91
    assert read.cell(read.best_student).figures["top1"].value == 0.5


def test_the_baseline_is_the_best_students_twin_without_a_teacher():
    baseline = Run.model_validate(run()).baseline
    assert baseline is not None
    assert baseline.label == "ce"
    assert Run.model_validate(run(("kd", "ce"))).baseline is None  # the best one is no baseline of itself
    other = run()
    other["comparison"]["subjects"][1]["shortcuts"] = 3
    assert Run.model_validate(other).baseline is None


def test_chance_is_told_from_a_score_where_it_is_known():
    record = run()
    record["comparison"]["subjects"][1]["figures"]["top1"]["value"] = 0.101
    read = Run.model_validate(record)
    assert [read.is_at_chance(net) for net in read.nets] == [False, True, False, False]
    record["data"]["chance"] = None
    assert not any(Run.model_validate(record).is_at_chance(net) for net in read.nets)


def test_newer_keys_are_left_alone():
    assert Run.model_validate({**run(), "later": 1}).seed == 0
