import pytest
import torch

from unskip.nets import make_net
from unskip.surgery import without_shortcuts


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
