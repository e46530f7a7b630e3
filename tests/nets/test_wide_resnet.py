import pytest
import torch
import torch.nn.functional as F

from unskip import make_net
from unskip.dataflow import num_parameters

from .random_statistics import with_random_statistics

IMAGES = torch.randn(3, 3, 20, 28, generator=torch.Generator().manual_seed(0))


def reference(tensors, blocks, x, *, training):
    """WRN as the paper describes it, figure 1d and table 1, from a state dict."""

    def norm_relu(x, place):
        mean, var = tensors[f"{place}.running_mean"], tensors[f"{place}.running_var"]
        if training:
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        scale = tensors[f"{place}.weight"] / (var + 1e-5).sqrt()
        shape = (1, -1, 1, 1)
        return ((x - mean.view(shape)) * scale.view(shape) + tensors[f"{place}.bias"].view(shape)).clamp_min(0)

    def conv(x, place, stride=1):
        weight = tensors[f"{place}.weight"]
        return F.conv2d(x, weight, stride=stride, padding=(weight.shape[-1] - 1) // 2)

    x = conv(x, "stem.conv")
    for stage in (1, 2, 3):
        for block in range(1, blocks + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            place = f"stage{stage}.block{block}"
            projects = f"{place}.residual.shortcut.weight" in tensors
            body = f"{place}.residual.body" if projects else f"{place}.body"
            entry = place if projects else body
            active = norm_relu(x, f"{entry}.bn1")
            out = conv(active, f"{body}.conv1", stride)
            out = conv(norm_relu(out, f"{body}.bn2"), f"{body}.conv2")
            x = out + (conv(active, f"{place}.residual.shortcut", stride) if projects else x)
    x = norm_relu(x, "head.bn").mean((2, 3))
    return x @ tensors["head.fc.weight"].T + tensors["head.fc.bias"]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("name", "blocks"), [("wrn-10x1", 1), ("wrn-16x2", 2), ("wrn-22x2", 3), ("wrn-16x10", 2)])
def test_the_net_is_the_papers(name, blocks, training):
    torch.manual_seed(0)
    net = with_random_statistics(make_net(name, {"width": 4, "dropout": 0.0})).double().train(training)
    tensors = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    expected = reference(tensors, blocks, IMAGES.double(), training=training)
    found = net(IMAGES.double())
    assert (found - expected).abs().max() <= 1e-10 * expected.abs().max()


def test_a_stage_gives_the_sum_and_the_last_activation_is_the_heads():
    torch.manual_seed(0)
    net = make_net("wrn-16x2", {"width": 4}).eval()
    maps, logits = net.features(IMAGES)
    assert all(bool((found < 0).any()) for found in maps)
    assert torch.equal(net.head(maps[-1]), logits)


@pytest.mark.parametrize(("name", "millions"), [("wrn-40x4", 8.9), ("wrn-16x8", 11.0), ("wrn-28x10", 36.5)])
def test_published_sizes(name, millions):
    """Zagoruyko and Komodakis, table 4, CIFAR-10."""
    assert num_parameters(make_net(name, {"num_classes": 10})) / 1e6 == pytest.approx(millions, abs=0.06)


def test_dropout_stands_between_the_convolutions():
    net = make_net("wrn-16x2", {"width": 4, "dropout": 0.4})
    drops = {name: module.p for name, module in net.named_modules() if isinstance(module, torch.nn.Dropout)}
    assert len(drops) == 6
    assert set(drops.values()) == {0.4}
    for name in drops:
        layers = list(net.get_submodule(name.rpartition(".")[0])._modules)
        assert layers[layers.index("dropout") - 1 :] == ["relu2", "dropout", "conv2"]
