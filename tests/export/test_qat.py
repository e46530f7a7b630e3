"""Where 8 bits after training lose too much, a network is trained in 8 bits; the better file is kept."""

from pathlib import Path

import pytest
import torch

from unskip.errors import UnskipError
from unskip.export import FORMATS, QuantizationAwareTraining, export_net
from unskip.export.fake_quantized import FakeQuantized
from unskip.export.file_export import FileExport, for_cpu
from unskip.nets import make_net
from unskip.runtimes import read_metadata
from unskip.surgery import fold_batchnorm, without_shortcuts

TRAINED = [format_ for format_ in FORMATS.values() if format_.qat]
BY_CALIBRATION_ALONE = [format_ for format_ in FORMATS.values() if format_.int8 and format_.float32 and not format_.qat]


@pytest.fixture(scope="module")
def net(images):
    """A plain one that has seen images and tells them apart."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = without_shortcuts(make_net("resnet8", {"width": 16, "in_channels": 1})).train()
        with torch.no_grad():
            for _ in range(20):
                net(images)
            net.eval().head.fc.bias -= net(images).mean(dim=0)  # or one class would be the answer to every image
    return net


@pytest.fixture(scope="module")
def test(net, images):
    """Images with the labels that the network gives them, so that its own accuracy is 1."""
    labels = net(images).argmax(1).detach()
    return list(zip(images.split(10), labels.split(10), strict=True))


@pytest.fixture(scope="module")
def dark(images):
    """Images to calibrate with whose ranges fit no other image."""
    return images[:1] * 1e-4


def training(net, images, steps, shown=None):
    """Some steps towards the answers of the network, by images as the student is shown them."""
    shown = images if shown is None else shown

    def train(student, scores):
        calls.append(scores)
        optimizer = torch.optim.Adam(student.parameters(), 3e-4)  # at 3e-3 it diverges
        answers = net(images).detach()
        student.train()
        for _ in range(steps):
            loss = torch.nn.functional.mse_loss(student(shown), answers)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        student.eval()

    calls = []
    return QuantizationAwareTraining(train, epochs=3), calls


@pytest.mark.parametrize("format_", TRAINED, ids=lambda format_: format_.name)
class TestFakeQuantized:
    @pytest.fixture
    def conversion(self, format_, net, images):
        format_.runtime.require()
        file = FileExport(Path(f"net{format_.ending}"), images, ((0.5,), (0.2,)), None, None, {}, None, None)
        return file.conversion(net, fold_batchnorm(for_cpu(net)), calibration=images * 0.2 + 0.5)

    def test_it_has_the_parts_of_the_network_and_nearly_its_maps(self, format_, conversion, net, images):
        student = FakeQuantized.of(conversion, format_.quantizer(conversion, qat=True), net).student
        assert student.part_names == net.part_names
        maps, _ = student.features(images * 0.2 + 0.5)
        expected, _ = net.features(images)
        for got, wanted in zip(maps, expected, strict=True):
            assert got.shape == wanted.shape
        assert float((maps[0] - expected[0]).norm() / expected[0].norm()) < 0.5
        torch.testing.assert_close(student[2:](student[:2](images)), student(images), msg="slices are those of the net")

    def test_what_was_trained_is_what_is_written(self, format_, conversion, net, images):
        fake = FakeQuantized.of(conversion, format_.quantizer(conversion, qat=True), net)
        shown = images * 0.2 + 0.5
        before = fake.student(shown).detach()
        training(net, images, 3, shown)[0].train(fake.student, None)
        trained = fake.student(shown).detach()
        assert not torch.allclose(before, trained, rtol=0.01), "its weights move"
        assert (trained.std(0) > 0.01).all(), "it tells images apart"
        torch.testing.assert_close(fake.student(shown), trained, msg="in eval mode its ranges stay")
        weights = weights_of_fake(fake.student, shown)
        finished = fake.finished()
        for one, other in zip(weights, weights_of_finished(finished, shown), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-7)
        # Biases that are rounded as well change a few maps by a step, and this network's answers lie close together.
        assert (finished(shown) - trained).abs().mean() <= trained.abs().max() / 25


def weights_of_fake(student, shown):
    """Its weights as they are rounded by channel, layer by layer."""
    from torchao.quantization.pt2e import FakeQuantize

    weights = []
    modules = [module for module in student.modules() if isinstance(module, FakeQuantize) and module.is_per_channel]
    hooks = [module.register_forward_hook(lambda *seen: weights.append(seen[-1].detach())) for module in modules]
    student(shown)
    for hook in hooks:
        hook.remove()
    return weights


def weights_of_finished(net, shown):
    """The same in the network with its 8-bit steps written out."""
    weights = []

    class Run(torch.fx.Interpreter):
        def run_node(self, node):
            value = super().run_node(node)
            if "dequantize_per_channel" in str(node.target) and value.dim() > 1:
                weights.append(value)
            return value

    Run(net).run(shown)
    return weights


@pytest.mark.slow
def test_the_better_file_is_kept_with_the_figures_of_both(net, images, dark, test, tmp_path):
    settings = {"calibration": dark, "test": test, "max_drop": 1}
    qat, calls = training(net, images, 80)
    done = export_net(net, tmp_path / "net.pte", images, **settings, qat=qat)
    assert [scores.file for scores in calls] == [done.quantization.post_training]
    assert done.scores.file == done.quantization.quantization_aware
    assert done.scores.file.value > done.quantization.post_training.value
    assert (done.quantization.epochs, done.quantization.requantized_additions) == (3, 0)
    assert read_metadata(done.path)["precision"] == "int8"
    assert "by training (3 epochs)" in done.eight_bits()


@pytest.mark.slow
def test_a_training_that_makes_it_worse_is_thrown_away_and_the_limit_still_decides(net, images, test, tmp_path):
    def ruin(student, scores):
        with torch.no_grad():
            for parameter in student.parameters():
                parameter.zero_()

    qat = QuantizationAwareTraining(ruin, epochs=1, allowed_loss=-1.0)  # trained whatever is lost
    settings = {"calibration": images, "test": test, "qat": qat}
    done = export_net(net, tmp_path / "net.pte", images, **settings, max_drop=1)
    assert done.scores.file == done.quantization.post_training
    assert done.quantization.quantization_aware.value < done.scores.file.value
    assert not done.quantization.trained_is_kept
    with pytest.raises(UnskipError, match="is allowed"):
        export_net(net, tmp_path / "refused.pte", images, **settings, max_drop=-1)  # nothing can be so good
    assert not (tmp_path / "refused.pte").exists()


@pytest.mark.slow
def test_why_it_was_not_trained_is_said(net, images, dark, test, tmp_path):
    def fail(student, scores):
        raise UnskipError("the images are gone")

    qat = QuantizationAwareTraining(fail, epochs=3)
    done = export_net(net, tmp_path / "n.pte", images, calibration=dark, test=test, max_drop=1, qat=qat)
    assert (done.quantization.note, done.quantization.epochs) == ("the images are gone", 0)
    assert "not trained in 8 bits: the images are gone" in done.eight_bits()


@pytest.mark.parametrize("format_", BY_CALIBRATION_ALONE, ids=lambda format_: format_.name)
def test_a_format_without_it_says_so(format_, net, images, dark, test, tmp_path):
    qat, calls = training(net, images, 1)
    path = tmp_path / f"net{format_.ending}"
    done = export_net(net, path, images, calibration=dark, test=test, max_drop=1, qat=qat)
    assert not calls
    assert done.scores.drop > 0.005, "or this test is about nothing"
    assert f"{format_.name} files are quantised after training only" in done.quantization.note


@pytest.mark.parametrize("ending", [".onnx", pytest.param(".pte", marks=pytest.mark.slow)])
def test_additions_are_counted_in_the_graph(ending, images, tmp_path):
    net = make_net("resnet8", {"width": 4, "in_channels": 1}).eval()
    labels = net(images).argmax(1).detach()
    settings = {"calibration": images, "test": [(images, labels)], "max_drop": 1}
    counts = [
        export_net(each, tmp_path / f"net{ending}", images, **settings).quantization.requantized_additions
        for each in (net, without_shortcuts(net))
    ]
    assert counts == [3, 0]
