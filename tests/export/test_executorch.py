"""The memory that ExecuTorch plans, and what XNNPACK clamps by itself."""

from pathlib import Path

import pytest
import torch
from torch import nn

from unskip.errors import UnskipError
from unskip.export import arena_of_file, export_net, planned_arena
from unskip.export.fake_quantized import FakeQuantized
from unskip.export.file_export import FileExport, for_cpu
from unskip.export.formats import executorch
from unskip.nets import make_net
from unskip.surgery import fold_batchnorm, without_shortcuts


@pytest.fixture(scope="module")
def net():
    return make_net("resnet8", {"width": 4, "in_channels": 1})


def test_the_plan_is_that_of_the_portable_file(net, images, tmp_path):
    path = export_net(net, tmp_path / "net.pte", images[:2], backend="portable").path
    assert arena_of_file(path) == planned_arena(net, (1, 16, 16))


def test_the_plan_holds_the_shortcut(net):
    plain, batch = planned_arena(without_shortcuts(net), (1, 16, 16)), planned_arena(net, (1, 16, 16), batch_size=2)
    assert planned_arena(net, (1, 16, 16)) == 3 * plain // 2 == 3 * 4 * 4 * 16 * 16
    assert batch == 3 * plain


def test_a_file_for_xnnpack_has_no_plan_of_the_feature_maps(net, images, tmp_path):
    assert arena_of_file(export_net(net, tmp_path / "net.pte", images[:2]).path) is None


@pytest.mark.parametrize("content", [b"", b"junk" * 99])
def test_a_damaged_file_is_refused(content, tmp_path):
    (tmp_path / "net.pte").write_bytes(content)
    with pytest.raises(UnskipError, match=r"net\.pte is no ExecuTorch file that can be read"):
        arena_of_file(tmp_path / "net.pte")
    with pytest.raises(UnskipError, match=r"no file .*other\.pte"):
        arena_of_file(tmp_path / "other.pte")


def test_what_is_clamped_away_takes_no_range_in_8_bits(images, tmp_path, monkeypatch):
    torch.manual_seed(0)
    convolutions = nn.Conv2d(1, 8, 3, bias=False), nn.Conv2d(8, 8, 3, groups=8)
    net = nn.Sequential(
        *(convolutions[0], nn.ReLU6(), convolutions[1], nn.ReLU6()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)),
    ).requires_grad_(False)
    for conv in convolutions:
        conv.weight *= 60

    def difference():
        return export_net(net.eval(), tmp_path / "net.pte", images, calibration=images, max_drop=None).max_difference

    fused = difference()
    monkeypatch.setattr(executorch, "fuse_clamps", lambda quantizer, settings: quantizer)
    assert fused < 0.05 < 0.3 < difference()


def test_a_network_with_clamps_is_trained_in_8_bits(images):
    torch.manual_seed(0)
    net = make_net("mobilenetv2-cifar", {"width_mult": 0.25, "in_channels": 1}).eval()
    file = FileExport(Path("net.pte"), images, ((0.5,), (0.2,)), None, None, {}, None, None)
    conversion = file.conversion(net, fold_batchnorm(for_cpu(net)), calibration=images * 0.2 + 0.5)
    student = FakeQuantized.of(conversion, file.format.quantizer(conversion, qat=True), net).student.train()
    student(images).square().sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in student.parameters())
