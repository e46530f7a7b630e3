"""BatchNorms as after training."""

from torch import nn


def with_random_statistics(net: nn.Module) -> nn.Module:
    """The same network, every BatchNorm with statistics, weight and bias of its own."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            if module.track_running_stats:
                module.running_mean.uniform_(-0.2, 0.2)
                module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.uniform_(-0.2, 0.2)
    return net
