"""Files for Ethos-U: their integers, what lies around them, and what is refused."""

import copy
import json
import shutil

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from unskip.errors import UnskipError
from unskip.export import export_net
from unskip.export.proof import refuse_other_arithmetic
from unskip.runtimes import configured, find_runtime, read_metadata

pytest.importorskip("ethosu", reason="the extra ethos-u is not installed")

TARGET = "ethos-u55-128"


@pytest.fixture(scope="module")
def written(written_as):
    return written_as("ethos_u")


def test_its_size_is_that_of_the_program_alone(written):
    assert written.path.with_suffix(".tosa").stat().st_size > 0
    assert written.file_bytes == written.path.stat().st_size


@pytest.fixture(scope="module")
def program(written):
    return find_runtime("ethos_u").load(written.path)


class Several(nn.Module):
    """Tables for activations, a sum, a map that grows, a mean, a concatenation; two answers of different shapes."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 4, 3, 1, 1), nn.ReLU())
        self.first = nn.Sequential(nn.Conv2d(4, 8, 3, 2, 1), nn.Hardswish())
        self.beside = nn.Conv2d(8, 8, 1)
        self.second = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1, groups=8), nn.SiLU())
        self.last = nn.Conv2d(16, 3, 1)

    def forward(self, images):
        first = self.first(self.stem(images))
        first = first + self.beside(first)
        second = self.second(first)
        grown = functional.interpolate(second, scale_factor=2.0, mode="nearest")
        return {"map": self.last(torch.cat([first, grown], 1)), "mean": second.mean((2, 3))}


@pytest.fixture(scope="module")
def several(images, tmp_path_factory):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Several().eval()
    path = tmp_path_factory.mktemp("several") / "net.ethos-u85-256.pte"
    return net, export_net(net, path, images[:6], calibration=images, max_drop=None, batch_size=2)


def test_metadata_of_the_device(written):
    facts = read_metadata(written.path)
    assert (facts["target"], facts["label"], facts["precision"]) == (TARGET, "small", "int8")
    assert facts["normalization"] == "inside"
    assert json.loads(facts["setting"]) == configured(TARGET).setting


def test_only_scaling_and_normalising_are_left_to_the_processor(written):
    from executorch.exir._serialize._program import deserialize_pte_binary

    plan = deserialize_pte_binary(written.path.read_bytes()).program.execution_plan[0]
    operators = sorted(f"{each.name}.{each.overload}" for each in plan.operators)
    assert operators == [
        "aten::mul.out",
        "aten::sub.out",
        "quantized_decomposed::dequantize_per_tensor.out",
        "quantized_decomposed::quantize_per_tensor.out",
    ]
    assert len(plan.delegates) == 1


def test_any_number_of_images_has_the_bits_of_the_reference_model(program, scaled):
    assert (program.batch_size, program.input_shape) == (1, (1, 16, 16))
    together = program(scaled.numpy())
    assert together.shape == (37, 10)
    np.testing.assert_array_equal(program(scaled[:1].numpy()), together[:1])
    np.testing.assert_array_equal(program.reference(scaled[:5].numpy()), together[:5])


def test_other_bits_than_the_reference_models_are_refused(program, scaled, written):
    other = copy.copy(program)
    other._run = lambda batches: [each + (each == each.max()) for each in program._run(batches)]
    with pytest.raises(UnskipError, match="not those of the reference model"):
        refuse_other_arithmetic(written.path, other, scaled)
    refuse_other_arithmetic(written.path, program, scaled)


@pytest.fixture
def copied(written, tmp_path):
    for path in written.path.parent.iterdir():
        shutil.copy(path, tmp_path)
    return tmp_path / written.path.name


def test_a_file_without_its_graph_and_with_a_damaged_one(copied):
    graph = copied.with_suffix(".tosa")
    graph.write_bytes(graph.read_bytes()[:-8] + bytes(8))
    with pytest.raises(UnskipError, match="is damaged, or belongs to another file"):
        find_runtime("ethos_u").load(copied)
    graph.unlink()
    with pytest.raises(UnskipError, match=r"no file .*\.tosa: the integers of"):
        find_runtime("ethos_u").estimate(copied)


def test_a_damaged_program(copied):
    copied.write_bytes(copied.read_bytes()[:200])
    with pytest.raises(UnskipError, match=rf"{copied.name} is (damaged|no Ethos-U file)"):
        read_metadata(copied)


def test_a_file_for_another_device(net, images, tmp_path):
    with pytest.raises(UnskipError, match="is a file for ethos-u55-128, and `target` is ethos-u65-256"):
        export_net(net, tmp_path / f"net.{TARGET}.pte", images, device=configured("ethos-u65-256"), calibration=images)
    with pytest.raises(UnskipError, match="a file for no device in particular"):
        export_net(net, tmp_path / "net.onnx", images, device=configured(TARGET))


def test_without_images_to_calibrate_on(net, images, tmp_path):
    with pytest.raises(UnskipError, match="ethos_u files compute in 8 bits only"):
        export_net(net, tmp_path / f"net.{TARGET}.pte", images)


def test_operations_that_do_not_run_there_are_named(images, tmp_path):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(1, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(16, 3)
        )
    with pytest.raises(UnskipError, match=r"1 of its \d+ operations do not run on the ethos-u55-128: aten.avg_pool2d"):
        export_net(net.eval(), tmp_path / f"net.{TARGET}.pte", images, calibration=images, max_drop=None)
    assert not list(tmp_path.iterdir())


def test_several_answers_in_batches_of_two(several, images):
    net, done = several
    program = find_runtime("ethos_u").load(done.path)
    assert program.batch_size == 2
    answers = program(images[:5].numpy())
    expected = net(images[:5])
    assert {name: each.shape for name, each in answers.items()} == {"map": (5, 3, 8, 8), "mean": (5, 8)}
    for name, each in answers.items():
        right = expected[name].detach().numpy()
        assert abs(each - right).max() < 0.1 * abs(right).max()
        np.testing.assert_array_equal(program.reference(images[:5].numpy())[name], each)
    assert read_metadata(done.path)["normalization"] == "outside"


def test_every_integer_is_that_of_the_quantised_network(written, several):
    for done in (written, several[1]):
        assert done.quantized.max_difference == 0
