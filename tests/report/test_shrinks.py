"""What `unskip shrink` shows at its end: the page, the terminal, the model card."""

import base64
import functools
import json
import re
import warnings
from dataclasses import replace
from io import StringIO

import pytest
import yaml
from records import samples
from records.samples import HOSTILE, changed
from rich.console import Console

from report.pages import Page
from unskip.errors import UnskipError
from unskip.records import Figure
from unskip.report import show_shrink, write_model_card, write_report
from unskip.report.class_answers import changed_most, disagreements
from unskip.report.model_card import model_card
from unskip.report.pages import render_shrink
from unskip.report.sentences import sentences
from unskip.report.shrink_trials import ordered, steps_further, tried_table
from unskip.report.shrinks import limited, side_by_side
from unskip.report.table import compared
from unskip.search.student import Student

RECORDS = samples.shrinks()
MADE = {name: record for name, record in RECORDS.items() if record.winner}


@functools.cache
def page_of(name: str) -> Page:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return Page(render_shrink(RECORDS[name]))


@pytest.fixture(params=list(RECORDS))
def page(request) -> Page:
    return page_of(request.param)


def values(page: Page, name: str) -> list[str]:
    return [value for key, value in page.attributes if key == name]


def printed(record, width: int = 80) -> str:
    console = Console(width=width, file=StringIO())
    show_shrink(record, console)
    return console.file.getvalue().replace("\N{NO-BREAK SPACE}", " ")


def headline(record) -> str:
    (sentence,) = sentences(record, "headline")
    return sentence.replace("\N{NO-BREAK SPACE}", " ")


def test_a_page_is_well_formed_and_needs_nothing_but_itself(page):
    assert page.open == []
    assert not {"script", "link", "iframe", "object", "base"} & set(page.tags)
    for name, value in page.attributes:
        assert not name.startswith("on")
        if name in {"src", "href", "action", "srcset", "data"}:
            assert value.startswith(("#", "data:image/png;base64,"))
    assert not re.search(r"https?://|@import|url\((?!#)", page.html)
    ids = values(page, "id")
    assert len(ids) == len(set(ids))
    assert set(values(page, "aria-labelledby")) <= set(ids)


def test_tables_have_an_entry_for_every_column(page):
    for head, *rows in page.tables:
        assert {len(row) for row in rows} <= {len(head)}


@pytest.mark.parametrize("name", list(RECORDS))
def test_the_terminal_keeps_to_its_width(name):
    lines = printed(RECORDS[name]).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split()[0] in headline(RECORDS[name])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("met", ["is met by “plain”", "0.694", "0.700", "92.9 %", "0.9 points below", "1.5"]),
        ("not met", ["not met", "0.740", "above the limit of 0.700"]),
        ("too much accuracy lost", ["not met", "6.7 points below", "at most 1.5"]),
        ("above the teacher", ["is met", "1.3 points above"]),
        ("met already", ["resnet56 meets the budget as it is", "Nothing was trained"]),
        ("cannot be met", ["Nothing that was found meets the budget", "1.00", "above the limit of 0.40"]),
        ("timed", ["latency ratio 0.780", "within its spread"]),
    ],
)
def test_the_first_sentence_says_whether_the_budget_is_met_and_what_that_cost(name, words):
    for word in words:
        assert word in headline(RECORDS[name])


def test_what_would_meet_a_budget_is_named_with_its_figures():
    text = page_of("cannot be met").text
    assert "This would: images of 24x24 pixels: cycles ratio 0.387" in text
    assert "Nearest: without shortcuts, 1 of 9 blocks (nearest to all limits): cycles ratio 0.484" in text
    assert sentences(RECORDS["met"], "ways_out") == []


def test_teacher_and_winner_stand_side_by_side_with_the_limits():
    record = RECORDS["met"]
    rows = {row.content.label: row.entries for row in side_by_side(record).rows}
    assert rows["Cycles, million"] == (("1.86",), ("1.29", "1.44× less"), ("",))
    assert rows["Cycles ratio"][2] == ("0.70", "kept")
    assert rows["Top-1 of the file, int8, %"] == (("–",), ("92.90", "−0.90 points"), ("at least 92.30", "kept"))
    assert {row.content.label: row.entries for row in side_by_side(RECORDS["not met"]).rows}["Cycles ratio"][2] == (
        "0.70",
        "exceeded",
    )
    assert "at least" not in str(side_by_side(RECORDS["nothing asked"]).rows)


def test_what_is_limited_stands_first_and_equal_figures_are_the_same():
    record = changed(RECORDS["met"], most={"sram": 40_000})
    teacher = {**record.teacher.figures, "sram": Figure(value=44_001.0)}
    rows = {row.content.label: row.entries for row in side_by_side(changed(record, "teacher", figures=teacher)).rows}
    assert list(rows)[2] == "SRAM, KiB"
    assert rows["SRAM, KiB"][:2] == (("42.97",), ("42.97", "the same"))
    about = record.measures["cycles"].model_copy(update={"unit": "ms"})
    assert compared(Figure(value=2.0), Figure(value=3.0), about) == "1.50× less"
    assert compared(Figure(value=2.0, low=1.9, high=2.1), Figure(value=3.0, low=2.9, high=3.1), about) == ""


def test_the_first_screen_says_what_the_winner_costs_besides_its_limits():
    (sentence,) = sentences(RECORDS["met"], "saved")
    told = "by a compiler's estimate: cycles 1.86 to 1.29 million, SRAM 50.78 to 42.97 KiB."
    assert sentence.replace("\N{NO-BREAK SPACE}", " ") == f"Teacher to winner, {told}"
    assert page_of("met").text.index(told) < page_of("met").text.index("Teacher and winner")
    same = changed(RECORDS["met"], "winner", figures=RECORDS["met"].teacher.figures)
    assert sentences(same, "saved") == sentences(RECORDS["met already"], "saved") == []


WORDS = {
    "plain in stage1": "Plain: ",
    "shortened": "Shortened: ",
    "blocks 2-2-1": "Blocks, ",
    "sub-net 2-2-1": "Sub-net: ",
    "0.25 pruned": "Pruned: ",
    "lean stem": "Lean stem: ",
    "8 groups": "Groups: ",
}


@pytest.mark.parametrize("word", WORDS)
def test_a_word_for_what_was_done_is_explained_where_it_is_used(word):
    winner = RECORDS["met"].winning_trial
    record = changed(RECORDS["met"], trials=(changed(winner, words=word),))
    told = sentences(record, "words")
    assert any(sentence.startswith(WORDS[word]) for sentence in told)
    others = {head for head in WORDS.values() if head != WORDS[word]} - {"Blocks, "}
    assert not any(sentence.startswith(tuple(others)) for sentence in told)
    assert all(sentence in Page(render_shrink(record)).text for sentence in told)


def test_students_have_no_word_that_is_not_explained():
    every = Student(
        lean=True, groups=8, depth=(2, 2), removed=("stage1",), shortened=("stage2",), pruned=0.25, sub_net=False,
        gone=frozenset(), shortcuts=1, peak_elements=1, macs=1, parameters=1,
    )  # fmt: skip
    words = set(re.findall("[a-z-]+", str(every))) | {str(replace(every, sub_net=True)).split()[-2]}
    explained = set(re.findall("[a-z-]+", " ".join(WORDS)))
    assert words - {"in", "stage"} <= explained | {"stage"}


def test_methods_and_the_words_of_a_device_are_explained():
    record = changed(RECORDS["met"], meanings={"Shared_Sram": "feature maps lie in SRAM"})
    told = sentences(record, "words")
    assert "Shared_Sram: feature maps lie in SRAM." in told
    assert [sentence.partition(":")[0] for sentence in told if "_kd" in sentence] == ["fade_kd"]
    for method in ("align_kd", "fade_joint_rd", "fit_kd", "kd"):
        trials = tuple(changed(trial, method=method) for trial in record.trials)
        told = sentences(changed(record, trials=trials), "words")
        assert any(sentence.startswith(f"{method}: ") for sentence in told), method
    assert "Winner" not in " ".join(sentences(RECORDS["cannot be met at all"], "words"))


def test_epochs_that_became_others_than_planned_are_told():
    (sentence,) = sentences(changed(RECORDS["met"], "winner", planned_epochs=51), "time")
    assert sentence.endswith("for the winner's 24 epochs, 51 were planned.")
    (sentence,) = sentences(changed(RECORDS["met"], "winner", planned_epochs=24), "time")
    assert sentence.endswith("for the winner's 24 epochs.")


def test_files_that_belong_together_are_named():
    parts = {"beside": ("winner.tosa",), "deployed": ("winner.ethos-u55-128.pte",)}
    record = changed(RECORDS["met"], "winner", **parts)
    for text in (" ".join(sentences(record, "notes")), model_card(record)):
        assert "Keep winner.ethos-u55-128.pte and winner.tosa in one folder" in text
        assert "unskip needs both, the device only winner.ethos-u55-128.pte" in text
    both = changed(record, "winner", deployed=("winner.tosa", "winner.ethos-u55-128.pte"))
    assert "in one folder: unskip needs both." in " ".join(sentences(both, "notes"))
    parts = ("winner.bin", "winner.json")
    three = changed(both, "winner", beside=parts, deployed=(*parts, "winner.ethos-u55-128.pte"))
    assert "unskip needs all of them." in " ".join(sentences(three, "notes"))
    assert "one folder" not in " ".join(sentences(RECORDS["met"], "notes"))


def test_a_difference_is_that_of_the_two_figures_in_its_row():
    record = RECORDS["met"]
    own = changed(record, "teacher", figures={**record.teacher.figures, "top1": Figure(value=0.925)})
    rows = {row.content.label: row.entries for row in side_by_side(own).rows}
    assert rows["Top-1 of the file, int8, %"][:2] == (("92.50",), ("92.90", "+0.40 points"))
    assert rows["Top-1 of the network, %"][:2] == (("93.80",), ("93.10", "\N{MINUS SIGN}0.70 points"))


def test_limits_that_are_exceeded_come_first():
    record = changed(RECORDS["met"], most={"cycles_ratio": 0.7, "sram": 40_000})
    facts = limited(record, record.winner.figures)
    assert [(each.title, each.met) for each in facts] == [("SRAM", False), ("Cycles ratio", True)]
    assert limited(record, {})[0].value == "not known"


def test_everything_tried_has_its_rungs_its_costs_and_why_it_was_dropped():
    record = RECORDS["met"]
    assert [trial.label for trial in ordered(record)] == ["plain", "shortened", "fewer", "narrow", "lean"]
    rows = tried_table(record).rows
    assert [row.content.label for row in rows] == [
        "teacher",
        *(f"{n}: {t.words}" for n, t in enumerate(ordered(record), 1)),
    ]
    assert rows[1].entries == (("0.69",), ("88.10", "2 epochs"), ("91.40", "4 epochs"))
    assert rows[5].entries[1:] == (("–",), ("–",))
    text = page_of("met").text
    for trial in record.trials:
        assert trial.words in text
        assert trial.dropped in text
    assert "3, 4, lower after 2 epochs" in printed(record)


def test_a_short_training_by_another_method_is_told():
    record = RECORDS["met"]
    trials = tuple(
        changed(trial, rungs=tuple(changed(rung, method="fit_kd") for rung in trial.rungs)) for trial in record.trials
    )
    winner, *others = (row.content.about for row in tried_table(changed(record, trials=trials)).rows[1:])
    assert winner == "fit_kd, then fade_kd"
    assert [about.partition(";")[0] for about in others] == ["fit_kd", "fit_kd", "fit_kd", "fade_kd"], "one not tried"
    told = [sentence.partition(":")[0] for sentence in sentences(changed(record, trials=trials), "words")]
    assert {"fade_kd", "fit_kd"} <= set(told)
    fitted = changed(changed(record, trials=trials), "winner", method="fit_kd")
    assert tried_table(fitted).rows[1].content.about == "fit_kd", "its long training was too short to fade, too"


def test_short_trainings_are_marked_in_the_plot_and_the_limit_is_drawn():
    (said,) = [label for label in values(page_of("met"), "aria-label") if "against" in label]
    said = said.replace("\N{NO-BREAK SPACE}", " ")
    assert "winner 92.9 % at 0.694," in said
    assert "4 81.5 % at 0.452 after a short training" in said
    assert "Not beaten in both: winner, teacher." in said
    assert "The limit is 0.7." in said


def test_going_further_compares_with_the_winner_after_as_long_a_training():
    steps = steps_further(RECORDS["met"])
    assert [(step.number, step.is_cheaper) for step in steps] == [(3, True), (4, True), (5, True)]
    assert [step.rung and step.rung.number for step in steps] == [1, 1, None]
    assert steps[0].difference == pytest.approx(0.871 - 0.881)
    better = changed(RECORDS["met"], "trials", "shortened", rungs=RECORDS["met"].trials[0].rungs[:1])
    better = changed(better, "trials", "shortened", "rungs", 0, score=0.9)
    assert [step.is_cheaper for step in steps_further(better) if step.number == 2] == [False]
    two = changed(RECORDS["met"], most={"cycles_ratio": 0.7, "sram": 45_000})
    two = changed(two, "trials", "fewer", "figures", sram=Figure(value=11_008))
    assert [(step.title, step.share) for step in steps_further(two) if step.words == "blocks 7-7-7"] == [("SRAM", 0.25)]
    assert steps_further(RECORDS["met already"]) == []


def test_classes_mistakes_and_images_are_shown():
    record = RECORDS["met"]
    page = page_of("met")
    assert changed_most(record.answers)[0].name == "truck"
    assert "truck taken for airplane +28 11 39" in page.text
    assert page.tags.count("img") == 12
    assert all(value == f"data:image/png;base64,{samples.PNG}" for value in values(page, "src"))
    assert "Test image 17: automobile" in values(page, "alt")
    assert "Where the two disagree" not in page_of("without labels").text


def test_of_a_thousand_classes_those_that_change_most_come_first():
    sizes = [len(table) - 1 for table in page_of("many classes").tables if table[0][0] == "Class"]
    assert sizes == [20, 1000]


def test_what_is_no_picture_is_left_out():
    record = changed(RECORDS["met"].answers, "disagreements", 0, png=base64.b64encode(b"<svg>" * 20).decode())
    assert len(disagreements(record)) == 11


def test_a_class_without_images_has_no_accuracy():
    text = page_of("one class never shown, no disagreement").text
    assert "b – – – 0" in text


def test_text_of_users_is_only_ever_text():
    assert "<script" not in page_of("hostile").html
    assert page_of("hostile").text.count(HOSTILE.strip()) > 10
    assert "\x07" not in model_card(RECORDS["hostile"])
    body = model_card(RECORDS["hostile"]).split("---\n", 2)[2].partition("```bash")[0]
    assert re.search(r"\\<script", body)
    assert not re.search(r"(?<!\\)<script", body)


def test_times_asked_estimated_and_taken_stand_together():
    (sentence,) = sentences(RECORDS["met"], "time")
    for time in ("45 min", "41 min 52 s", "44 min 01 s"):
        assert time in sentence
    assert sentences(RECORDS["nothing asked"], "time")[0].startswith("Time: taken 44 min")


def test_what_speaks_against_trust_is_said_where_it_matters():
    def notes(record) -> str:
        return " ".join(sentences(record, "notes"))

    busy = samples.benches()["busy"].load
    assert busy.warning in notes(changed(RECORDS["timed"], load=busy))
    assert busy.warning not in notes(changed(RECORDS["met"], load=busy))  # nothing was timed
    held_out = changed(RECORDS["met"], scored_on="2,000 training images that were held out")
    assert "held out" in notes(held_out)
    assert "held out" in Page(render_shrink(held_out)).text
    untried = tuple(changed(trial, rungs=()) for trial in held_out.trials)
    assert "held out" not in notes(changed(held_out, trials=untried))
    assert "estimated by a compiler" in notes(RECORDS["met"])
    poor = changed(RECORDS["met"], "winner", file_score=0.101)
    assert notes(poor).startswith("Warning: the winner's file is no better than always naming")
    both = changed(poor, "teacher", score=0.099)
    assert "the teacher and the winner's file are no better" in notes(both)
    few = changed(RECORDS["met"], "data", num_test=25)
    assert "25 test images are too few to tell accuracies apart; one of them is 4.0 points" in notes(few)
    assert "Warning" not in notes(RECORDS["met"])
    assert "estimated by a compiler" not in notes(RECORDS["timed"])


def test_a_folder_has_the_page_of_what_lies_in_it(tmp_path):
    (tmp_path / "shrink.json").write_text(RECORDS["met"].model_dump_json())
    path = write_report(tmp_path)
    assert "The budget is met" in path.read_text()
    first = path.read_bytes()
    assert write_report(tmp_path).read_bytes() == first
    card = write_model_card(tmp_path)
    assert card == tmp_path / "README.md"
    assert card.read_text() == model_card(RECORDS["met"])
    (tmp_path / "shrink.json").write_text(json.dumps({"winner": 3}))
    with pytest.raises(UnskipError, match="unskip shrink"):
        write_report(tmp_path)
    assert path.read_bytes() == first


def test_what_made_nothing_has_no_card(tmp_path):
    (tmp_path / "shrink.json").write_text(RECORDS["cannot be met"].model_dump_json())
    assert write_model_card(tmp_path) is None
    assert [each.name for each in tmp_path.iterdir()] == ["shrink.json"]


@pytest.mark.parametrize("name", list(MADE))
def test_a_card_has_the_hubs_front_matter_and_the_facts_of_the_record(name):
    record, card = MADE[name], model_card(MADE[name])
    _, head, body = card.split("---\n", 2)
    facts = yaml.safe_load(head)
    assert facts["library_name"] == "unskip"
    assert "license" not in facts
    (model,) = facts["model-index"]
    (result,) = model["results"]
    assert {"task", "dataset", "metrics"} == result.keys()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", each) for each in facts["datasets"])
    assert result["metrics"][0]["value"] == record.winner.file_score
    assert result["metrics"][0]["type"] == facts["metrics"][0]
    for piece in (record.winner.sha256[:16], record.winner.method, "unskip run recipe.yaml"):
        assert piece in body
    assert "None" not in body


def test_a_card_says_how_images_are_given_without_unskip():
    card = model_card(RECORDS["met"])
    assert "RGB" in card
    assert "32x32" in card
    assert "0.4914" not in card  # the file does it
    covered = {"mode": "L", "size": [224, 224], "cover": [256, 256]}
    outside = changed(RECORDS["met"], "winner", normalizes=False, preprocessing=covered)
    assert "0.4914, 0.4822, 0.4465" in model_card(outside)
    assert "256x256" in model_card(outside)
    assert "None" not in model_card(changed(outside, "winner", preprocessing=None))


def test_figures_that_nobody_knows_are_no_rows():
    figures = {**RECORDS["met"].winner.figures, "sram": Figure(unknown="nobody said")}
    record = changed(RECORDS["met"], "winner", figures=figures)
    rows = {row.content.label: row.entries for row in side_by_side(record).rows}
    assert rows["SRAM, KiB"][1] == ("–",)
    teacher = {"cycles": RECORDS["met"].teacher.figures["cycles"]}
    assert not any(
        "SRAM" in row.content.label for row in side_by_side(changed(record, "teacher", figures=teacher)).rows
    )


def test_the_page_and_the_card_say_against_what_the_file_was_proved():
    integers, card = " ".join(sentences(RECORDS["met"], "notes")), model_card(RECORDS["met"])
    for text in (integers, card):
        plain = text.replace("\N{NO-BREAK SPACE}", " ")
        assert "on 256 test images, the integers of winner.ethos-u55-128.pte, computed on this machine" in plain
        assert "8 bits: quantised after training 92.40 %" in plain
        assert "in float32" in (plain if text is card else " ".join(sentences(RECORDS["met"], "repeat")))
        assert "the same class as the trained network in 98.4 %" in plain
        assert "with 8-bit integers in 100.0 %" in plain
    proof = {"tolerance": 1e-3, "max_difference": 3.2e-7, "quantized_agreement": None, "quantization": ""}
    float32 = changed(changed(RECORDS["met"], "winner", "proof", **proof), estimated=False)
    told = " ".join(sentences(float32, "notes"))
    assert "by at most 3.2e-07 of the largest, where 1e-03 is allowed" in told
    assert "on 256 test images, winner.ethos-u55-128.pte, run by TOSA reference model 0.80, gives" in told
    assert "integers" not in told
    assert "Proof" not in " ".join(sentences(changed(RECORDS["met"], "winner", proof=None), "notes"))
