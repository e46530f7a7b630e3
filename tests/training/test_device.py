from pathlib import Path

import pytest
import torch

from unskip import TrainingRecipe, make_net
from unskip.training.device import (
    computes_in_bf16,
    describe_numerics,
    make_fabric,
    place,
    uses_bf16,
    uses_channels_last,
)


@pytest.mark.skipif(torch.cuda.is_available() or not Path("/proc/cpuinfo").exists(), reason="asks the CPU, on Linux")
def test_bf16_is_used_where_the_chip_says_that_it_has_it():
    flags = set(Path("/proc/cpuinfo").read_text().split())
    if "fpu" not in flags:
        pytest.skip("no x86 flags in /proc/cpuinfo")
    assert computes_in_bf16() == bool(flags & {"amx_bf16", "avx512_bf16"})


def test_settings_overrule_the_chip():
    assert uses_bf16(TrainingRecipe(precision="bf16"))
    assert not uses_bf16(TrainingRecipe(precision="float32"))
    assert uses_bf16(TrainingRecipe()) == computes_in_bf16()
    assert uses_channels_last(TrainingRecipe(precision="bf16"))
    assert not uses_channels_last(TrainingRecipe(precision="float32"))
    assert uses_channels_last(TrainingRecipe(precision="float32", channels_last=True))
    assert not uses_channels_last(TrainingRecipe(precision="bf16", channels_last=False))


def test_numerics_tell_trainings_apart():
    kinds = [{"precision": p, "channels_last": c} for p in ("float32", "bf16") for c in (True, False)]
    assert len({describe_numerics(TrainingRecipe(**kind)) for kind in kinds}) == 4


@pytest.mark.parametrize("channels_last", [True, False])
def test_a_net_is_placed_in_its_memory_format(channels_last):
    settings = TrainingRecipe(precision="float32", channels_last=channels_last)
    net = make_net("resnet14", {"width": 4})
    place(net, make_fabric(settings), settings)
    weight = net.stage1.block1.body.conv1.weight
    assert weight.is_contiguous(memory_format=torch.channels_last) == channels_last
