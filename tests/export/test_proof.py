"""An agreement that says nothing is called so."""

import pytest
import torch

from unskip import export_net, make_net

IMAGES = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dead", [True, False])
def test_a_network_that_answers_every_image_alike(tmp_path, dead):
    torch.manual_seed(0)
    net = make_net("resnet14", {"width": 4, "num_classes": 3}).eval()
    if dead:
        torch.nn.init.zeros_(net.head.fc.weight)
    exported = export_net(net, tmp_path / "net.onnx", IMAGES)
    assert exported.agreement == 1
    assert exported.constant is dead
    assert ("which says nothing" in exported.describe()) is dead


def test_one_image_cannot_tell(tmp_path):
    net = make_net("resnet14", {"width": 4, "num_classes": 3}).eval()
    torch.nn.init.zeros_(net.head.fc.weight)
    assert not export_net(net, tmp_path / "net.onnx", IMAGES[:1]).constant
