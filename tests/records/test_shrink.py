import json
from typing import Any

import pytest

from records import samples
from unskip.errors import UnskipError
from unskip.records import Figure, Shrink


def shrink(**other: Any) -> dict[str, Any]:
    """What a file holds."""
    return samples.shrink(**other).model_dump(mode="json")


def write(folder, record):
    (folder / "shrink.json").write_text(record if isinstance(record, str) else json.dumps(record))
    return folder


def test_what_was_written_reads_back(tmp_path):
    record = samples.shrink()
    assert Shrink.read(write(tmp_path, json.dumps(record.model_dump(mode="json"), allow_nan=False))) == record
    assert Shrink.read(write(tmp_path, {**shrink(), "later": 1})) == record


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00", "[" * 100_000])
def test_what_is_not_one_is_refused_in_a_sentence(tmp_path, text):
    with pytest.raises(UnskipError, match=r"shrink\.json does not hold what `unskip shrink` found"):
        Shrink.read(write(tmp_path, text))


def test_a_folder_without_one_says_what_to_do(tmp_path):
    with pytest.raises(UnskipError, match="give the same command again"):
        Shrink.read(tmp_path)


@pytest.mark.parametrize("key", ["teacher", "most", "measures", "data"])
def test_a_missing_key_is_named(tmp_path, key):
    record = shrink()
    del record[key]
    with pytest.raises(UnskipError, match=key):
        Shrink.read(write(tmp_path, record))


def test_the_winner_is_a_trial_and_labels_differ():
    record = shrink()
    with pytest.raises(ValueError, match="the winner is 'other', which is no trial"):
        Shrink.model_validate({**record, "winner": {**record["winner"], "label": "other"}})
    with pytest.raises(ValueError, match="the labels of trials must differ"):
        Shrink.model_validate({**record, "trials": [record["trials"][0]] * 2})


def test_measures_say_what_is_limited():
    record = shrink()
    with pytest.raises(ValueError, match="measures must say what energy is"):
        Shrink.model_validate({**record, "most": {"energy": 3}})


def test_the_outcome_is_that_of_the_file():
    record = samples.shrink()
    assert record.outcome == "met"
    assert record.met == {"cycles_ratio": True, "accuracy_drop": True}
    figures = {**record.winner.figures, "cycles_ratio": Figure(value=0.71)}
    slow = record.model_copy(update={"winner": record.winner.model_copy(update={"figures": figures})})
    assert slow.outcome == "not met"
    bad = record.model_copy(update={"winner": record.winner.model_copy(update={"file_score": 0.91})})
    assert bad.met == {"cycles_ratio": True, "accuracy_drop": False}
    unknown = record.model_copy(update={"winner": record.winner.model_copy(update={"figures": {}})})
    assert unknown.met["cycles_ratio"] is False


def test_a_drop_as_large_as_allowed_is_allowed():
    record = samples.shrink(accuracy_drop=1.0)
    record = record.model_copy(update={"teacher": record.teacher.model_copy(update={"score": 0.95})})
    exact = record.model_copy(update={"winner": record.winner.model_copy(update={"file_score": 0.94})})
    assert exact.met["accuracy_drop"]  # though 100 * (0.95 - 0.94) > 1


def test_without_a_winner_the_teacher_decides():
    assert samples.shrinks()["met already"].outcome == "met already"
    assert samples.shrinks()["cannot be met"].outcome == "cannot be met"
