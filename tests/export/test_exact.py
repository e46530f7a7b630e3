"""Quantised networks without the rounding of float32: halves go up, and what counts their operations still does."""

from pathlib import Path

import pytest
import torch

from unskip.export.formats import find_format
from unskip.export.formats._exact import _quantize, exact
from unskip.export.formats._pt2e import calibrated
from unskip.export.formats.base import Conversion
from unskip.nets import make_net
from unskip.runtimes import configured
from unskip.surgery import fold_batchnorm

pytest.importorskip("ethosu", reason="the extra ethos-u is not installed")


def test_halves_are_rounded_up():
    numbers = torch.tensor([-1.5, -0.5, 0.25, 0.5, 1.5, 2.5, 1000.0])
    assert _quantize(numbers / 4, 0.25, 3, -128, 127, torch.int8).tolist() == [2, 3, 3, 4, 5, 6, 127]


def test_nearly_the_same_answers_and_as_many_additions(images):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = fold_batchnorm(make_net("resnet8", {"width": 4, "in_channels": 1}).eval())
    format_ = find_format("ethos_u")
    conversion = Conversion(net, (1, 16, 16), 1, {}, calibration=images, device=configured("ethos-u55-128"))
    quantized = calibrated(conversion, format_.quantizer(conversion, qat=False))
    answers, expected = exact(quantized)(images), quantized(images)
    assert answers.dtype == torch.float32
    assert (answers - expected).abs().max() < 0.05 * expected.abs().max()
    assert {format_.requantized_additions(Path(), each) for each in (quantized, exact(quantized))} == {3}
