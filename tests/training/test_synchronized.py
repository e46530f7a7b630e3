"""BatchNorm over all processes: without two GPUs, that nothing else changes; with them, that it is so."""

import os

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from unskip import make_net
from unskip.edits import with_depth_statistics
from unskip.training.synchronized import synchronized_batchnorm

IMAGES = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def nets():
    torch.manual_seed(0)
    plain = make_net("resnet14", {"width": 4, "num_classes": 3})
    several = with_depth_statistics(plain, depths=[[1, 1, 1]])
    return {"plain": plain, "at its depth": several.at_depth(1, 1, 1), "of several depths": several}


@pytest.mark.parametrize("name", nets())
def test_in_one_process_nothing_changes(name):
    net, twin = nets()[name].train(), nets()[name].train()
    kinds = [type(module) for module in net.modules()]
    with synchronized_batchnorm(net):
        assert all(isinstance(module, kind) for module, kind in zip(net.modules(), kinds, strict=True))
        assert not any(type(module) is nn.BatchNorm2d for module in net.modules())
        logits = net(IMAGES)
    assert torch.equal(logits, twin(IMAGES))
    assert [type(module) for module in net.modules()] == kinds
    found, expected = net.state_dict(), twin.state_dict()
    assert list(found) == list(expected)
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_they_are_what_they_were_after_an_error():
    net = nets()["plain"]
    with pytest.raises(KeyError), synchronized_batchnorm(net):
        raise KeyError
    assert type(net.stem.bn) is nn.BatchNorm2d


def one_of_two(rank, folder):
    dist.init_process_group("nccl", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    torch.cuda.set_device(rank)
    results = {}
    for name, net in nets().items():
        net.double().train().cuda()
        mine = IMAGES.double()[4 * rank : 4 * rank + 4].cuda()
        with synchronized_batchnorm(net):
            DistributedDataParallel(net, device_ids=[rank], find_unused_parameters=True)(
                mine
            ).square().mean().backward()
        gradients = {key: p.grad.cpu() for key, p in net.named_parameters() if p.grad is not None}
        results[name] = gradients, {key: tensor.cpu() for key, tensor in net.state_dict().items()}
    if rank == 0:
        torch.save(results, os.path.join(folder, "found.pt"))
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.skipif(
    torch.cuda.device_count() < 2, reason="PyTorch synchronises BatchNorm on GPUs, and here are not two"
)
def test_two_processes_are_one(tmp_path):
    mp.spawn(one_of_two, args=(str(tmp_path),), nprocs=2)
    shared = torch.load(tmp_path / "found.pt")
    for name, net in nets().items():
        net.double().train().cuda()
        net(IMAGES.double().cuda()).square().mean().backward()
        gradients, states = shared[name]
        for key, parameter in net.named_parameters():
            if parameter.grad is not None:
                assert torch.allclose(gradients[key], parameter.grad.cpu(), rtol=1e-9, atol=1e-12), key
        for key, tensor in net.state_dict().items():
            assert torch.allclose(states[key], tensor.cpu(), rtol=1e-9, atol=1e-12), key
