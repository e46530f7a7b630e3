import pytest
import torch

from unskip import make_net
from unskip.edits import without_shortcuts
from unskip.nets import StagedNet

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def net() -> StagedNet:
    torch.manual_seed(0)
    return make_net("resnet14", {"width": 4}).eval()


def test_slices_share_parameters_and_keep_their_keys(net):
    front, back = net[:2], net[2:]
    assert front.part_names == ("stem", "stage1")
    assert [*front.state_dict(), *back.state_dict()] == list(net.state_dict())
    for name, parameter in front.named_parameters():
        assert parameter is net.get_parameter(name)


@pytest.mark.parametrize("cut", range(6))
def test_a_net_cut_and_joined_is_the_same_function(net, cut):
    joined = net[:cut] + net[cut:]
    assert isinstance(joined, StagedNet)
    assert list(joined.state_dict()) == list(net.state_dict())
    assert torch.equal(joined(IMAGES), net(IMAGES))


@pytest.mark.parametrize("cut", range(1, 5))
def test_a_hybrid_is_student_then_teacher(net, cut):
    student = without_shortcuts(net).eval()
    hybrid = student[:cut] + net[cut:]
    between = IMAGES
    for part in [*list(student)[:cut], *list(net)[cut:]]:
        between = part(between)
    assert torch.equal(hybrid(IMAGES), between)
    hybrid(IMAGES).sum().backward()
    assert student.stem.conv.weight.grad is not None
    assert net.stem.conv.weight.grad is None


def test_joining_at_different_places_is_refused(net):
    with pytest.raises(ValueError, match="stage1"):
        net[:2] + net[1:]
    with pytest.raises(TypeError, match="StagedNet"):
        net + torch.nn.Sequential(torch.nn.ReLU())


def test_features_are_the_stages_outputs_and_the_logits(net):
    maps, logits = net.features(IMAGES)
    assert [tuple(m.shape) for m in maps] == [(2, 4, 32, 32), (2, 8, 16, 16), (2, 16, 8, 8)]
    for stage, found in enumerate(maps):
        assert torch.equal(found, net[: stage + 2](IMAGES))
        assert bool((found >= 0).all()), "a tap lies after the stage's last ReLU"
    assert torch.equal(logits, net(IMAGES))


def test_taps_are_not_overwritten_by_what_runs_later(net):
    net.train()
    maps, _ = net.features(IMAGES)
    before = [m.clone() for m in maps]
    net.features(torch.randn(2, 3, 32, 32))
    net[2:](maps[0])
    assert all(torch.equal(a, b) for a, b in zip(maps, before, strict=True))


def hybrid_of(net):
    return without_shortcuts(net).eval()[:2] + net[2:]


@pytest.mark.parametrize("edit", [lambda n: n, lambda n: without_shortcuts(n).eval(), lambda n: n[:3], hybrid_of])
def test_export_and_compile(net, edit):
    subject = edit(net)
    expected = subject(IMAGES)
    exported = torch.export.export(subject, (IMAGES,)).module()
    assert torch.allclose(exported(IMAGES), expected, atol=1e-5)
    compiled = torch.compile(subject, backend="aot_eager")
    assert torch.allclose(compiled(IMAGES), expected, atol=1e-5)


@pytest.mark.slow
def test_compiled_by_the_default_backend(net):
    hybrid = hybrid_of(net)
    assert torch.allclose(torch.compile(hybrid)(IMAGES), hybrid(IMAGES), atol=1e-4)
