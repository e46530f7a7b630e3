"""Every analysis of runs: what it needs, what it says, and that its record is all that pages and files take."""

import inspect
import io
import json
import re

import pytest
from rich.console import Console

from unskip import UnskipError
from unskip.records import RunAnalysis
from unskip.report.pages import render_run_analysis
from unskip.run_analyses import RUN_ANALYSES, analyze

FEW = {
    "clusters": {"images": 40},
    "landscape": {"images": 16, "iterations": 2, "steps": 2},
    "feature_reuse": {"images": 20},
    "gradient_flow": {"batches": 1},
}


@pytest.fixture(scope="module")
def analyses(two_seeds):
    return {name: analyze(two_seeds, name, FEW.get(name, {})) for name in RUN_ANALYSES}


@pytest.mark.parametrize("name", list(RUN_ANALYSES))
def test_its_record_is_plain_data_that_comes_back(name, analyses):
    record = analyses[name].record()
    text = json.dumps(analyses[name].to_json(), allow_nan=False)
    assert RunAnalysis.model_validate(json.loads(text)) == RunAnalysis.model_validate(record.model_dump(mode="json"))
    assert record.name == name
    assert record.seeds == (0, 1)
    assert record.tables
    assert {"teacher", "ce", "joint_rd"} <= {row[0] for row in record.tables[0].rows}


@pytest.mark.parametrize("name", list(RUN_ANALYSES))
def test_every_claim_has_a_source_and_an_interval_or_a_reason(name, analyses):
    claims = analyses[name].record().claims
    assert claims
    for claim in claims:
        assert claim.source
        if claim.seeds == 1:  # the other has no logarithm: a largest eigenvalue below 0 of a net that learnt nothing
            assert (claim.verdict, claim.low, claim.high) == ("not shown", None, None)
        else:
            assert claim.why or claim.low <= claim.mean <= claim.high
            assert claim.why or claim.seeds == 2
    assert any(claim.seeds == 2 for claim in claims)


@pytest.mark.parametrize("name", list(RUN_ANALYSES))
def test_nothing_shows_in_one_seed(name, two_seeds):
    claims = analyze(two_seeds[:1], name, FEW.get(name, {}), nets=["teacher", "ce"]).record().claims
    assert {claim.verdict for claim in claims} == {"not shown"}


@pytest.mark.parametrize("name", list(RUN_ANALYSES))
def test_its_page_has_every_plot_and_every_id_once(name, analyses):
    record = analyses[name].record()
    page = render_run_analysis(record)
    assert page.count("<svg") == sum(len(group.plots) for group in record.plots)
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert "<script" not in page


@pytest.mark.parametrize("name", list(RUN_ANALYSES))
def test_it_is_shown_within_the_terminals_width(name, analyses):
    file = io.StringIO()
    analyses[name].show(Console(width=100, file=file))
    assert all(len(line) <= 100 for line in file.getvalue().splitlines())


@pytest.mark.parametrize("name", list(RUN_ANALYSES))
def test_its_settings_are_described_and_checked(name, two_seeds):
    parameters = inspect.signature(RUN_ANALYSES[name].of).parameters.values()
    options = [each for each in parameters if each.kind is each.KEYWORD_ONLY]
    assert all(each.default is not each.empty for each in options)
    with pytest.raises(UnskipError, match="unknown key"):
        analyze(two_seeds, name, {"imagse": 3})
    assert RUN_ANALYSES.card(name)
