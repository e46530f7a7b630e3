from functools import cache

import pytest
import torch

from unskip.export import export_net, find_format
from unskip.nets import make_net
from unskip.surgery import without_shortcuts

FACTS = {"classes": '["a", "b"]', "label": "small"}
MEAN, STD = (0.5,), (0.25,)


@pytest.fixture(scope="session")
def images():
    return torch.randn(37, 1, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def net(images):
    """A plain network in training mode whose BatchNorms have seen images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = without_shortcuts(make_net("resnet14", {"width": 4, "in_channels": 1}))
        net.train()
        with torch.no_grad():
            for _ in range(20):
                net(images)
    return net


@pytest.fixture(scope="session")
def scaled(images):
    """Images scaled to 0..1, as a file that normalises takes them."""
    return (images * 0.1 + 0.5).clamp(0, 1)


@pytest.fixture(scope="session")
def written_as(net, scaled, tmp_path_factory):
    """The network as a file of a format that normalises by itself, in a folder of its own; written once."""

    @cache
    def written_as(name):
        format_ = find_format(name)
        ending = ".ethos-u55-128.pte" if name == "ethos_u" else format_.ending
        in_8_bits = {} if format_.float32 else {"calibration": scaled, "max_drop": None}
        settings = {"metadata": FACTS, "normalization": (MEAN, STD), **in_8_bits}
        return export_net(net, tmp_path_factory.mktemp(name) / f"net{ending}", scaled, **settings)

    return written_as
