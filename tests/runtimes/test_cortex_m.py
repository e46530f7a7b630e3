"""Programs for Cortex-M: their integers run here in their own plan, which says what memory they need."""

import json

import numpy as np
import pytest
import torch

from unskip import UnskipError
from unskip.analyses._layers import holding_blocks, layer_parts
from unskip.edits import without_shortcuts
from unskip.export import export_net, find_format
from unskip.nets import make_net
from unskip.runtimes import configured, ending_of, find_runtime, read_metadata, runtime_for
from unskip.runtimes._cmsis_nn import KERNELS
from unskip.runtimes._pte_plan import read_plan

pytest.importorskip("ethosu", reason="the extra ethos-u is not installed")

MEAN, STD = (0.5,), (0.25,)
SIDE, WIDTH = 16, 8
MAP = WIDTH * SIDE * SIDE  # bytes of one of the first stage's maps


@pytest.fixture(scope="module")
def images():
    return torch.rand(6, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def residual():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make_net("resnet8", {"width": WIDTH, "in_channels": 1}).eval()


def export(net, path, images):
    given = {"calibration": images, "max_drop": None, "normalization": (MEAN, STD), "metadata": {"label": "small"}}
    return export_net(net, path, images, **given)


@pytest.fixture(scope="module")
def written(residual, images, tmp_path_factory):
    return export(residual, tmp_path_factory.mktemp("cortex-m") / "net.cortex-m55.pte", images)


def test_the_file_computes_what_the_quantised_network_does(written):
    assert (written.format, written.precision, written.batch_size) == ("cortex_m", "int8", 1)
    assert written.quantized is not None
    assert written.quantized.max_difference == 0, "bit by bit, by the same kernels without the plan"
    assert 1e-5 < written.max_difference < 0.2, "and it is not the float32 network"


def test_its_program_and_metadata(written, images):
    path = written.path
    assert ending_of(path) == ".cortex-m55.pte"
    facts = read_metadata(path)
    assert (facts["target"], facts["precision"], facts["normalization"]) == ("cortex-m55", "int8", "inside")
    assert (facts["label"], json.loads(facts["image_shape"])) == ("small", [1, SIDE, SIDE])
    program = runtime_for(path).load(path)
    assert (program.batch_size, program.input_shape) == (1, (1, SIDE, SIDE))
    logits = program(images.numpy())
    assert logits.shape == (6, 10)
    np.testing.assert_array_equal(program(images[4:].numpy()), logits[4:], "nothing is left over in the arena")


def test_memory_is_that_of_the_plan(written, residual, images, tmp_path):
    """Three maps of the first stage live at once in a block with a shortcut, two in a plain one."""
    runtime = find_runtime("cortex_m")
    plain = export(without_shortcuts(residual), tmp_path / "plain.cortex-m55.pte", images)
    for file, maps in ((written, 3), (plain, 2)):
        estimate = runtime.estimate(file.path)
        assert (estimate.target, estimate.cycles, estimate.fallback) == ("cortex-m55", None, ())
        assert estimate.memory_bytes["flash"] == file.path.stat().st_size
        needed = max(layer.sram_bytes for layer in estimate.layers)
        scratch = needed - maps * MAP
        assert 0 <= scratch < MAP, "what else is needed is scratch memory"
        assert needed <= estimate.memory_bytes["sram"]
    layers = runtime.estimate(written.path).layers
    kernels, kinds = [layer.name for layer in layers], [layer.operation for layer in layers]
    assert kernels[:3] == ["aten::sub", "aten::mul", "cortex_m::quantize_per_tensor"], "float32 until it is normalised"
    assert (kinds.count("Conv2D") + kinds.count("DepthwiseConv2D"), kinds.count("FullyConnected")) == (9, 1)
    assert kinds.count("Add") == 3 == find_format("cortex_m").requantized_additions(written.path, None)


@pytest.mark.parametrize(
    ("name", "overload", "said"),
    [
        ("aten::from_file", "out", "a text"),
        ("prims::device_put", "", "no kernel"),
        ("cortex_m::evil", "out", "no kernel"),
    ],
)
def test_a_program_reaches_nothing_but_tensors(written, name, overload, said, monkeypatch):
    from executorch.exir._serialize import _program
    from executorch.exir.schema import String

    def changed(content):
        file = deserialize(content)
        plan = next(plan for plan in file.program.execution_plan if plan.name == "forward")
        plan.operators[0].name, plan.operators[0].overload = name, overload
        plan.values[plan.chains[0].instructions[0].instr_args.args[1]].val = String("/etc/hostname")
        return file

    deserialize = _program.deserialize_pte_binary
    monkeypatch.setattr(_program, "deserialize_pte_binary", changed)
    with pytest.raises(ValueError, match=said):
        read_plan(written.path)


def test_layers_are_found_again_in_the_network(written, residual):
    """The most is in use while a block's second convolution runs, and its shortcut holds a map."""
    estimate = find_runtime("cortex_m").estimate(written.path)
    parts = layer_parts(residual, (1, SIDE, SIDE), estimate)
    place = max(range(len(parts)), key=lambda place: estimate.layers[place].sram_bytes)
    assert holding_blocks(residual, parts, place) == ("stage1.block1",)


def test_a_map_that_overwrites_another_is_noticed(written, images):
    """The arena is real here: a plan in which maps lie on top of each other gives other answers."""
    good, bad = read_plan(written.path), read_plan(written.path)
    image = images[:1].contiguous(memory_format=torch.channels_last)
    shortcut, body = (bad._calls[step].args[-1] for step in (3, 4))
    bad._values[shortcut] = bad._values[body]  # what the block's first convolution writes takes the shortcut's place
    assert not torch.equal(good(image)[0], bad(image)[0])


@pytest.mark.parametrize("kind", ["conv2d", "depthwise_conv2d"])
def test_convolutions_are_those_of_executorch_bit_by_bit(kind):
    from executorch.backends.cortex_m.passes import cortex_m_pass_manager  # noqa: F401  (declares its operations)

    random = torch.Generator().manual_seed(0)

    def draw(least, most, *shape, dtype=torch.int32):
        return torch.randint(least, most, shape, generator=random).to(dtype)

    for round_ in range(20):
        inner, outer = (6, 6) if kind == "depthwise_conv2d" else (5, 6)
        shape = (1, 3, 3, outer) if kind == "depthwise_conv2d" else (outer, 3, 3, inner)
        maps, weight = draw(-128, 128, 2, inner, 7, 5, dtype=torch.int8), draw(-127, 128, *shape, dtype=torch.int8)
        bias = draw(-9999, 9999, outer) if round_ % 2 else None
        scales = draw(1 << 30, (1 << 31) - 1, outer), draw(-12, 3, outer)
        geometry = [[1 + round_ % 2] * 2, [1, 1], [1, 1], *([1] if kind == "depthwise_conv2d" else [])]
        given = [maps, weight, bias, *geometry, 3, -7, *scales, -120, 127, torch.empty(0, dtype=torch.int8)]
        expected = getattr(torch.ops.cortex_m, f"quantized_{kind}").default(*given)
        assert torch.equal(KERNELS[f"cortex_m::quantized_{kind}"](*given).to(torch.int8), expected)


@pytest.mark.slow
def test_operations_that_cmsis_nn_does_not_have_are_named(images, tmp_path):
    layers = [torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.ELU(), torch.nn.Conv2d(8, 8, 3, stride=2)]
    head = [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(8, 10)]
    path = export(torch.nn.Sequential(*layers, *head), tmp_path / "net.cortex-m4.pte", images).path
    estimate = find_runtime("cortex_m").estimate(path)
    assert "aten::elu" in estimate.fallback
    assert 0 < estimate.fallback_share < 0.5


def test_wrong_use_is_one_sentence(written, residual, images, tmp_path):
    with pytest.raises(UnskipError, match=r"no target 'cortex-m56'; did you mean 'cortex-m"):
        configured("cortex-m56")
    with pytest.raises(UnskipError, match="`optimise` is no option of cortex-m4; it has none"):
        configured("cortex-m4", {"optimise": "size"})
    with pytest.raises(UnskipError, match="cortex_m files compute in 8 bits only"):
        export_net(residual, tmp_path / "net.cortex-m4.pte", images)
    content = written.path.read_bytes()
    for share in (0, 0.5, 0.97):
        damaged = tmp_path / "damaged.cortex-m55.pte"
        damaged.write_bytes(content[: int(share * len(content))])
        for read in (read_metadata, runtime_for(damaged).load):
            with pytest.raises(UnskipError, match=r"ExecuTorch for Cortex-M.* \S") as caught:
                read(damaged)
            assert "\n" not in str(caught.value)
    assert find_format("cortex_m").files(damaged) == [damaged]
