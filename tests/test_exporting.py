"""Networks of a run in 8 bits: trained on under the run's own loss where too much is lost, and what is written down."""

import shutil

import pytest
import torch

from unskip.errors import UnskipError
from unskip.exporting import export_target
from unskip.quantized_training import slowly
from unskip.recipe import Cosine, TrainingRecipe, recipe_from
from unskip.records import read_eight_bits
from unskip.run import run_recipe
from unskip.run_folder import RunFolder
from unskip.runtimes import Configuration
from unskip.weights import load_net, save_net

RECIPE = {
    "data": {"name": "digits"},
    "teacher": {"net": "resnet8", "options": {"width": 8}, "training": {"epochs": 3, "batch_size": 64}},
    "methods": {"fade_kd": {}},
    "training": {"epochs": 3, "batch_size": 64},
    "measure": {"latency": False, "parity_images": 4},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home") / "r"
    run_recipe(recipe_from(RECIPE), folder)
    return folder


@pytest.fixture
def run(trained, tmp_path):
    return RunFolder(shutil.copytree(trained, tmp_path / "r"))


def spread_channels(run, label, decades):
    """Channels of very different sizes, which compute the same: no scale of a whole map fits them all."""
    net, info = load_net(run.weights(label))
    with torch.no_grad():
        for stage in net.stage_names:
            body = net.get_submodule(stage).block1.body
            factors = torch.logspace(0, decades, len(body.bn1.weight))
            body.bn1.weight *= factors
            body.bn1.bias *= factors
            body.conv2.weight /= factors[None, :, None, None]
    save_net(net, run.weights(label), info)


def test_both_networks_are_written_down_and_reported(run, tmp_path):
    (done,) = export_target(run.path, tmp_path / "n.onnx", int8=True, images=20)
    records = {each.label: each for each in read_eight_bits(run.int8)}
    assert records.keys() == {"teacher", "fade_kd"}
    plain, residual = records["fade_kd"], records["teacher"]
    assert (plain.requantized_additions, residual.requantized_additions) == (0, 3)
    assert (plain.float32, plain.post_training) == (done.scores.net.value, done.quantization.post_training.value)
    page = (run.path / "report.html").read_text()
    assert "In 8 bits" in page
    assert f"{100 * plain.post_training:.2f}" in page


def test_settings_of_8_bits_belong_to_8_bits(run, tmp_path):
    with pytest.raises(UnskipError, match="`qat_epochs` belong to `int8`"):
        list(export_target(run.path, tmp_path / "n.onnx", qat_epochs=1))


@pytest.mark.parametrize(
    ("formats", "said"),
    [(["onnx"], r"`target` cortex-m55 is for files that end in \.cortex-m55\.pte"), (["ethos-u"], "say which with")],
)
def test_a_target_belongs_to_its_files(run, tmp_path, formats, said):
    with pytest.raises(UnskipError, match=said):
        list(export_target(run.path, tmp_path / "out", formats, device=Configuration("cortex_m", "cortex-m55")))
    assert not (tmp_path / "out").exists()


def test_a_damaged_record_is_named(run, tmp_path):
    run.int8.mkdir()
    (run.int8 / "teacher-onnx.json").write_text("{}")
    with pytest.raises(UnskipError, match=r"teacher-onnx\.json does not hold what 8 bits cost"):
        read_eight_bits(run.int8)


def test_a_trained_network_goes_on_slowly_in_float32():
    usual = TrainingRecipe()
    slow = slowly(usual, 3)
    assert (slow.epochs, slow.precision, slow.schedule) == (3, "float32", Cosine())
    assert slow.optimizer.lr == pytest.approx(usual.schedule.max_lr / 100)
    assert slowly(TrainingRecipe(schedule=Cosine()), 3).optimizer.lr == pytest.approx(usual.optimizer.lr / 100)


@pytest.mark.slow
def test_a_network_that_loses_too_much_is_trained_on_under_the_run_s_loss(run, tmp_path):
    spread_channels(run, "fade_kd", 2.3)
    settings = {"int8": True, "images": 20, "max_drop": 1.0}
    (never,) = export_target(run.path, tmp_path / "never.pte", **settings, qat_epochs=0)
    assert never.scores.drop > 0.005, "or this test is about nothing"
    contents = set()
    for name in ("first", "second"):
        (done,) = export_target(run.path, tmp_path / f"{name}.pte", **settings, qat_epochs=2)
        assert done.quantization.post_training == never.scores.file
        assert done.scores.file.value > never.scores.file.value
        contents.add(done.path.read_bytes())
    assert len(contents) == 1, "the training is a function of the run"
    record = next(each for each in read_eight_bits(run.int8) if each.label == "fade_kd")
    assert (record.epochs, record.quantization_aware) == (2, done.scores.file.value)
