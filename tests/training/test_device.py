import pytest
import torch

from unskip import TrainingRecipe, make_net
from unskip.training import device as module
from unskip.training.device import bf16_saves_time, describe_numerics, make_fabric, place, uses_bf16

needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="asks the CPU")


@pytest.fixture
def cpu(monkeypatch, tmp_path):
    """Lets the CPU say what it can, and how long bf16 takes of the time in float32."""
    monkeypatch.setenv("UNSKIP_CACHE", str(tmp_path))
    asked = []

    def says(time, **capabilities):
        bf16_saves_time.cache_clear()
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
        monkeypatch.setattr(module, "_time_of_bf16", lambda: asked.append(1) or time)
        return asked

    yield says
    bf16_saves_time.cache_clear()


@needs_no_gpu
@pytest.mark.parametrize(("time", "saves"), [(0.5, True), (0.95, False), (1.5, False)])
def test_bf16_is_used_where_it_is_clearly_faster(time, saves, cpu):
    for chip in ("amx_bf16", "avx512_bf16", "bf16"):
        cpu(time, **{chip: True, "cpu_name": chip})
        assert bf16_saves_time() == saves


@needs_no_gpu
def test_a_cpu_without_bf16_is_not_asked(cpu):
    assert cpu(0.5, avx2=True) == []
    assert not bf16_saves_time()


@needs_no_gpu
def test_a_cpu_is_asked_once(cpu, tmp_path):
    for _ in range(2):
        asked = cpu(0.5, amx_bf16=True)
        assert bf16_saves_time()
    assert len(asked) == 1
    (kept,) = (tmp_path / "bf16").glob("*.json")
    kept.write_text('"soon"')
    cpu(0.5, amx_bf16=True)
    assert bf16_saves_time()
    assert len(asked) == 2


@needs_no_gpu
def test_several_processes_agree_without_a_clock(cpu, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    asked = cpu(0.5, avx512_bf16=True)
    assert not bf16_saves_time()
    cpu(0.5, amx_bf16=True)
    assert bf16_saves_time()
    assert asked == []


@needs_no_gpu
def test_the_time_in_bf16_is_a_share_and_leaves_the_generator_alone():
    generator = torch.get_rng_state()
    assert 0.02 < module._time_of_bf16() < 50
    assert torch.equal(generator, torch.get_rng_state())


def test_settings_overrule_the_chip():
    assert uses_bf16(TrainingRecipe(precision="bf16"))
    assert not uses_bf16(TrainingRecipe(precision="float32"))
    assert uses_bf16(TrainingRecipe()) == bf16_saves_time()


def test_numerics_tell_trainings_apart():
    kinds = [
        {"precision": p, "channels_last": last, "compile": how}
        for p in ("float32", "bf16")
        for last in (True, False, "auto")
        for how in (True, False)
    ]
    assert len({describe_numerics(TrainingRecipe(**kind)) for kind in kinds}) == len(kinds)


@pytest.mark.parametrize("channels_last", [True, False])
def test_a_net_is_placed_in_its_memory_format(channels_last):
    settings = TrainingRecipe(precision="float32", channels_last=channels_last)
    net = make_net("resnet14", {"width": 4})
    place(net, make_fabric(settings), settings)
    weight = net.stage1.block1.body.conv1.weight
    assert weight.is_contiguous(memory_format=torch.channels_last) == channels_last


@pytest.mark.parametrize("deterministic", [True, False])
def test_cudnn_chooses_freely_unless_the_bits_are_to_be_the_same(deterministic):
    make_fabric(TrainingRecipe(deterministic=deterministic))
    assert torch.backends.cudnn.deterministic == deterministic
    assert torch.backends.cudnn.benchmark != deterministic
