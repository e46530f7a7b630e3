"""Networks that answer with several tensors, in every format."""

import json

import pytest
import torch
from torch import nn

from unskip import UnskipError, parse
from unskip.answers import named_answers
from unskip.edits import with_fading_shortcuts
from unskip.evaluation import evaluate_file
from unskip.export import FORMATS, export_net, export_switchable
from unskip.nets.fading import set_shortcut_factor
from unskip.runtimes import find_runtime, read_metadata, runtime_for
from unskip.surgery import without_faded_shortcuts
from unskip.tasks.matching import Matching
from unskip.torchvision_compat import torchvision

from .random_statistics import with_random_statistics
from .test_joining import Net, decoder, pyramid, two_maps

MEAN, STD = (0.5, 0.4, 0.6), (0.25, 0.2, 0.3)
IMAGES = torch.rand(5, 3, 24, 20, generator=torch.Generator().manual_seed(0))
ANSWERS = {
    two_maps: ({"out": "out", "more": ["more.0"]}, True),
    pyramid: (["0", "1"], True),
    decoder: ("logits", False),
}
HERE = [format_ for format_ in FORMATS.values() if format_.float32]
# Names within names in every format; of the others one in turn, and all in ONNX.
WRITTEN = [
    pytest.param(
        answer,
        format_,
        id=f"{answer.__name__}-{format_.name}",
        marks=[] if format_.name == "onnx" or answer is two_maps else [pytest.mark.slow],
    )
    for place, format_ in enumerate(HERE)
    for answer in ANSWERS
    if format_.name == "onnx" or answer in (two_maps, (pyramid, decoder)[place % 2])
]


def make(answer):
    torch.manual_seed(0)
    return parse(with_random_statistics(Net(answer)), torch.randn(2, 3, 24, 20)).eval()


@pytest.mark.parametrize(("answer", "format_"), WRITTEN)
def test_a_file_gives_what_the_network_gives(tmp_path, answer, format_):
    net, path = make(answer), tmp_path / f"net{format_.ending}"
    written = export_net(net, path, IMAGES, normalization=(MEAN, STD))
    assert written.max_difference < 1e-5
    assert written.agreement == pytest.approx(1)
    names, structured = ANSWERS[answer]
    program = runtime_for(path).load(path)
    assert program.names == names
    assert read_metadata(path).get("answers") == (json.dumps(names) if structured else None)
    mean, std = (torch.tensor(each)[:, None, None] for each in (MEAN, STD))
    expected, given = named_answers(net((IMAGES - mean) / std)), named_answers(program(IMAGES.numpy()))
    assert list(given) == list(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(torch.from_numpy(given[name]), tensor.detach(), rtol=1e-3, atol=1e-4)
    assert evaluate_file(path, [(IMAGES, torch.zeros(5))], Matching(net).scaled(MEAN, STD)).value == pytest.approx(1)
    if format_.name == "onnx" and find_runtime("openvino").installed:
        assert find_runtime("openvino").load(path).names == names


def test_the_tensor_that_differs_most_decides(tmp_path):
    """A deviation in a tensor of small numbers is not hidden behind one of large numbers."""
    net = make(pyramid)
    with pytest.raises(UnskipError, match=r"its answers differ .* of the largest value, and 1e-12 is allowed"):
        export_net(net, tmp_path / "net.onnx", IMAGES, tolerance=1e-12)
    assert not list(tmp_path.iterdir())


def test_8_bits_are_judged_by_the_task(tmp_path):
    net = make(two_maps)
    test = [(IMAGES, torch.zeros(5))]
    task = Matching(net)
    written = export_net(net, tmp_path / "net.onnx", IMAGES, task=task, test=test, calibration=IMAGES, max_drop=0.2)
    assert (written.scores.net.metric, written.scores.net.value) == ("agreement", 1)
    assert 0.8 <= written.scores.file.value < 1
    with pytest.raises(UnskipError, match=r"in 8 bits its agreement is .*`max_drop`"):
        export_net(net, tmp_path / "bad.onnx", IMAGES, task=task, test=test, calibration=1e-6 * IMAGES)


def test_several_depths_are_for_logits(tmp_path):
    with pytest.raises(UnskipError, match="that answer with logits"):
        export_switchable({"full": make(two_maps)}, tmp_path / "net.onnx", IMAGES)


def fcn_resnet14() -> nn.Module:
    """torchvision's FCN over a ResNet with one bottleneck in each stage."""
    resnet, segmentation = torchvision.models.resnet, torchvision.models.segmentation
    backbone = resnet.ResNet(resnet.Bottleneck, [1, 1, 1, 1], replace_stride_with_dilation=[False, True, True])
    maps = torchvision.models._utils.IntermediateLayerGetter(backbone, {"layer4": "out"})
    return segmentation.FCN(maps, segmentation.fcn.FCNHead(2048, 21))


def test_a_segmentation_net_fades_and_is_exported(tmp_path):
    torch.manual_seed(0)
    model = with_random_statistics(fcn_resnet14())
    fading = with_fading_shortcuts(parse(model, torch.randn(2, 3, 64, 64)).eval())
    set_shortcut_factor(fading, 0.0)
    plain = without_faded_shortcuts(fading)
    images = torch.randn(2, 3, 64, 64)
    written = export_net(plain, tmp_path / "net.onnx", images, task=Matching(), tolerance=1e-2)
    assert written.agreement > 0.99
    assert runtime_for(written.path).load(written.path)(images.numpy())["out"].shape == (2, 21, 64, 64)
