"""A budget that nothing meets: what would meet it, with figures that are those of the network named."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from search.known import meta_net
from unskip import Budget, fit_budget, forecast
from unskip.dataflow import count_macs
from unskip.search import render_answer
from unskip.search.would_meet import smaller
from unskip.surgery import edited


def answered(limits, side=16, **options) -> tuple:
    net = meta_net("resnet8", {"width": 4})
    return net, fit_budget(net, (3, side, side), Budget(limits, **options), latency=False)


def test_eight_bits_or_smaller_images_would_meet_a_limit_of_bytes():
    net, answer = answered({"memory": 2000})
    assert not answer.fits
    by_words = {each.words: each for each in answer.would_meet}
    assert set(by_words) == {"8 bits", "images of 8x8"}
    for each in answer.would_meet:
        built = edited(net, each.student.edits, seed=0)
        size = 1 if each.element == "int8" else 4
        assert (
            each.figures["peak"].value == forecast(built, each.input_shape, bytes_per_element=size).peak_bytes <= 2000
        )
        assert each.figures["macs"].value == count_macs(built, each.input_shape)
    assert json.loads(json.dumps(answer.to_json()))["would_meet"][0]["change"] == "8 bits"


def test_nothing_is_made_up_where_nothing_would_do():
    _, answer = answered({"macs": 10})
    assert (answer.fits, answer.would_meet) == (False, ())
    _, answer = answered({"macs": 10**9})
    assert (answer.fits, answer.would_meet) == (True, ())


def test_both_together_where_neither_alone_does():
    _, answer = answered({"memory": 600})
    assert {each.words for each in answer.would_meet} == {"8 bits, images of 8x8"}
    _, answer = answered({"memory": 600}, element="int8")
    assert {each.words for each in answer.would_meet} == {"images of 8x8"}


@pytest.mark.parametrize(("shape", "sides"), [((3, 32, 32), [24, 16, 8]), ((3, 224, 96), [168, 112, 80, 56])])
def test_smaller_images_are_multiples_of_eight(shape, sides):
    assert [each[1] for each in smaller(shape)] == sides


def printed(answer):
    file = io.StringIO()
    render_answer(answer, Console(file=file, width=80))
    return " ".join(file.getvalue().split())


def test_the_print_names_the_changes_and_says_nothing_where_nobody_looked():
    _, answer = answered({"memory": 2000})
    assert all(f"{each.words} {each.student}" in printed(answer) for each in answer.would_meet)
    assert "Neither smaller images" in printed(answered({"macs": 10})[1])
    timed = replace(answered({"macs": 10})[1], budget=Budget({"latency_ms": 0.001}), smallest={})
    assert "Neither smaller images" not in printed(timed)
