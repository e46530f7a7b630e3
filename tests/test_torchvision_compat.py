import subprocess
import sys


def test_torchvision_can_be_imported_in_a_fresh_process():
    code = """
import torch
from unskip.torchvision_compat import datasets, torchvision, v2
net = torchvision.models.resnet18(num_classes=3).eval()
images = v2.functional.resize(torch.zeros(1, 3, 40, 40), [64, 64])
assert net(images).shape == (1, 3)
assert hasattr(torch.ops.torchvision, "nms")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
