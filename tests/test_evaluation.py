import numpy as np
import pytest
import torch
from sklearn.metrics import top_k_accuracy_score
from torch import nn

from unskip.errors import UnskipError
from unskip.evaluation import evaluate
from unskip.nets import make_net


def batches_of(images, labels, size):
    return list(zip(images.split(size), labels.split(size), strict=True))


@pytest.mark.parametrize(("images", "classes"), [(57, 10), (40, 6), (23, 4)])
def test_equals_sklearn(images, classes):
    logits = torch.randn(images, classes, generator=torch.Generator().manual_seed(images))
    labels = torch.arange(images) % classes
    score = evaluate(nn.Identity(), batches_of(logits, labels, 16))
    known = {"labels": np.arange(classes)}
    assert score.value == score.figures["top1"] == pytest.approx(top_k_accuracy_score(labels, logits, k=1, **known))
    if classes < 6:
        assert "top5" not in score.figures
    else:
        assert score.figures["top5"] == pytest.approx(top_k_accuracy_score(labels, logits, k=5, **known))
    assert score.images == images


def test_runs_in_eval_mode_and_gives_the_modes_back():
    net = make_net("resnet14", {"width": 4})
    net.train()
    net.stem.eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    images, labels = torch.randn(8, 3, 32, 32), torch.arange(8)
    together = evaluate(net, [(images, labels)])
    assert not net.stem.bn.training
    assert net.stage1.training
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert together == evaluate(net, batches_of(images, labels, 3))


def test_modes_come_back_after_an_error():
    net = nn.Linear(2, 2)
    with pytest.raises(RuntimeError):
        evaluate(net, [(torch.zeros(1, 3), torch.zeros(1, dtype=torch.long))])
    assert net.training


def test_autocast_is_entered():
    seen = []

    class Watching(nn.Module):
        def forward(self, x):
            seen.append((torch.is_autocast_enabled("cpu"), torch.is_inference_mode_enabled()))
            return x

    evaluate(Watching(), [(torch.eye(3), torch.arange(3))], autocast=torch.autocast("cpu", torch.bfloat16))
    assert seen == [(True, True)]


def test_no_images_are_refused():
    with pytest.raises(UnskipError, match="no images"):
        evaluate(nn.Identity(), [])


def test_of_equal_logits_the_first_counts():
    ties = torch.tensor([[1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0]])
    found = [evaluate(nn.Identity(), [(ties, torch.tensor([label]))]).value for label in range(7)]
    assert found == [1, 0, 0, 0, 0, 0, 0]
