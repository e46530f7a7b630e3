import pytest
import torch
import torch.nn.functional as F

from unskip import make_net

from .random_statistics import with_random_statistics

CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


@pytest.mark.parametrize("depth", CONVOLUTIONS)
@pytest.mark.parametrize("form", ["", "-cifar"])
def test_the_net_layer_by_layer(depth, form):
    torch.manual_seed(0)
    net = with_random_statistics(make_net(f"vgg{depth}{form}", {"width": 4, "num_classes": 5})).eval()
    x = images = torch.randn(2, 3, 64, 40)
    with torch.no_grad():
        maps = []
        for stage, count in enumerate(CONVOLUTIONS[depth], start=1):
            for block in range(1, count + 1):
                place = net.get_submodule(f"stage{stage}.block{block}")
                x = F.conv2d(x, place.conv.weight, place.conv.bias, padding=1)
                norm = place.bn
                x = F.relu(F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias))
            maps.append(x)
            x = F.max_pool2d(x, 2)
        x = x.mean((2, 3)) if form else F.adaptive_avg_pool2d(x, 7).flatten(1)
        for layer in (net.head.fc1, net.head.fc2):
            x = F.relu(F.linear(x, layer.weight, layer.bias))
        x = F.linear(x, net.head.fc.weight, net.head.fc.bias)
        taps, logits = net.features(images)
    assert all(torch.equal(tap, found) for tap, found in zip(taps, maps, strict=True))
    torch.testing.assert_close(logits, x, rtol=1e-5, atol=1e-6)


def test_it_has_no_stem_and_is_not_scaled_in_the_last_stage():
    net = make_net("vgg16", {"width": 4})
    assert net.part_names == ("stage1", "stage2", "stage3", "stage4", "stage5", "head")
    maps, _ = net.eval().features(torch.zeros(1, 3, 64, 64))
    assert [tuple(found.shape[1:]) for found in maps] == [
        (4, 64, 64),
        (8, 32, 32),
        (16, 16, 16),
        (32, 8, 8),
        (32, 4, 4),
    ]
