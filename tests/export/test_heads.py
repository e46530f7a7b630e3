"""Heads as many people write them: the size of the batch is read, and a view behind a pool takes it."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

import unskip
from unskip.export import FORMATS, export_net, find_format

TESTS = Path(__file__).parents[1]


class SizesInFront(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, stride=2)
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        y = torch.relu(self.second(torch.relu(self.first(x))))
        count = y.size(0)
        return self.fc(functional.avg_pool2d(y, y.size()[3]).view(count, -1))


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_takes_them(name, tmp_path):
    format_ = find_format(name)
    if not format_.runtime.installed:
        pytest.skip(f"{name} is not installed")
    torch.manual_seed(0)
    images = torch.rand(8, 3, 16, 16)
    net = unskip.parse(SizesInFront().eval(), images[:2])
    in_8_bits = {} if format_.float32 else {"calibration": images, "max_drop": None}
    written = export_net(net, tmp_path / f"net{format_.ending}", images, **in_8_bits)
    assert written.max_difference < (1e-3 if format_.float32 else 0.1)


def test_functions_of_python_are_themselves_to_torch_after_a_network_was_taken_apart():
    """Dynamo notes them once; while a network is traced they are others, and then nothing could be lowered."""
    code = (
        "import torch, unskip; from export.test_heads import SizesInFront; "
        "unskip.parse(SizesInFront().eval(), torch.rand(2, 3, 16, 16)); "
        "from torch._dynamo import trace_rules; assert trace_rules.is_builtin_callable(len)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=TESTS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
