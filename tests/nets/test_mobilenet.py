import pytest
import torch
import torch.nn.functional as F

from unskip import Residual, UnskipError, make_net

from .random_statistics import with_random_statistics

IMAGES = torch.randn(3, 3, 26, 38, generator=torch.Generator().manual_seed(0))


def reference(tensors, x, *, training):
    """The CIFAR form that the Demystification paper counts, from a state dict."""

    def norm(x, place):
        mean, var = tensors[f"{place}.running_mean"], tensors[f"{place}.running_var"]
        if training:
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        scale = tensors[f"{place}.weight"] / (var + 1e-5).sqrt()
        shape = (1, -1, 1, 1)
        return (x - mean.view(shape)) * scale.view(shape) + tensors[f"{place}.bias"].view(shape)

    def pointwise(x, place):
        weight = tensors[f"{place}.weight"][:, :, 0, 0]
        return torch.einsum("oc,bchw->bohw", weight, x) + tensors[f"{place}.bias"].view(1, -1, 1, 1)

    def depthwise(x, place, stride):
        weight, bias = tensors[f"{place}.weight"], tensors[f"{place}.bias"]
        assert weight.shape == (x.shape[1], 1, 3, 3)
        padded = F.pad(x, (1, 1, 1, 1))
        height, width = x.shape[2:]
        out = sum(
            weight[:, 0, row, column].view(1, -1, 1, 1) * padded[:, :, row : row + height, column : column + width]
            for row in range(3)
            for column in range(3)
        )
        return (out + bias.view(1, -1, 1, 1))[:, :, ::stride, ::stride]

    def relu6(x):
        return x.clamp(0, 6)

    x = relu6(norm(pointwise(F.pad(x, (1, 1, 1, 1)), "stem.conv"), "stem.bn"))
    for stage, (count, first) in enumerate(zip((1, 2, 3, 4, 3, 3, 1), (1, 2, 2, 2, 1, 1, 1), strict=True), start=1):
        for block in range(1, count + 1):
            stride = first if block == 1 else 1
            body = f"stage{stage}.block{block}.body"
            out = relu6(norm(pointwise(x, f"{body}.conv1"), f"{body}.bn1"))
            out = relu6(norm(depthwise(out, f"{body}.conv2", stride), f"{body}.bn2"))
            out = norm(pointwise(out, f"{body}.conv3"), f"{body}.bn3")
            x = out + x if stride == 1 and out.shape[1] == x.shape[1] else out
    x = relu6(norm(pointwise(x, "head.conv"), "head.bn")).mean((2, 3), keepdim=True)
    return pointwise(x, "head.fc").flatten(1)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("width_mult", [0.25, 1.0])
def test_the_cifar_form_is_the_papers(width_mult, training):
    torch.manual_seed(0)
    net = with_random_statistics(make_net("mobilenetv2-cifar", {"width_mult": width_mult})).double().train(training)
    for name, parameter in net.named_parameters():
        if name.endswith("bias") and "bn" not in name:
            torch.nn.init.uniform_(parameter, -0.1, 0.1)
    tensors = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    expected = reference(tensors, IMAGES.double(), training=training)
    found = net(IMAGES.double())
    assert (found - expected).abs().max() <= 1e-10 * expected.abs().max()


def test_the_cifar_stem_makes_34_pixels_of_32():
    net = make_net("mobilenetv2-cifar", {"width_mult": 0.25}).eval()
    assert net.stem(torch.zeros(1, 3, 32, 32)).shape[-2:] == (34, 34)
    maps, _ = net.features(torch.zeros(1, 3, 32, 32))
    assert [found.shape[-1] for found in maps] == [34, 17, 9, 5, 5, 5, 5]


@pytest.mark.parametrize("name", ["mobilenetv2", "mobilenetv2-cifar"])
@pytest.mark.parametrize("width_mult", [1.0, 0.25])
def test_a_shortcut_stands_where_the_shape_stays(name, width_mult):
    """Table 2: in every block of a stage but the first; in narrow nets also where the rounded channels are equal."""
    net = make_net(name, {"width_mult": width_mult}).eval()
    places, expected = [], []
    x = torch.zeros(1, 3, 64, 64)
    for part_name, part in net.named_parts():
        blocks = part.named_children() if part_name.startswith("stage") else []
        for block_name, block in blocks:
            out = block(x)
            places += [f"{part_name}.{block_name}"] * isinstance(block, Residual)
            expected += [f"{part_name}.{block_name}"] * (out.shape == x.shape)
            x = out
        x = x if blocks else part(x)
    assert places == expected
    assert len(places) == (10 if width_mult == 1 else 11)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"width_mult": 0}, "width_mult must be greater than 0"),
        ({"width_mult": float("inf")}, "width_mult must be a finite number"),
        ({"dropout": 1.0}, "dropout must be less than 1"),
        ({"width": 8}, "width: unknown key; did you mean 'width_mult'"),
    ],
)
def test_wrong_options(options, says):
    with pytest.raises(UnskipError, match=says):
        make_net("mobilenetv2", options)
