"""Distances between classes and spread within, against loops; the classifier that is looked at."""

import itertools
import math

import pytest
import torch
from torch import nn

from unskip import UnskipError, make_net
from unskip.run_analyses._activations import classifier_inputs, classifier_of
from unskip.run_analyses.clusters import principal_components, separations


def by_loops(features, labels):
    """Sums over images and pairs of classes, as the card says it."""
    classes = sorted(set(labels))
    means = {}
    for one in classes:
        rows = [row for row, label in zip(features, labels, strict=True) if label == one]
        means[one] = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    pairs = list(itertools.combinations(classes, 2))
    between = sum(math.dist(means[one], means[other]) for one, other in pairs) / len(pairs)
    squares = [math.dist(row, means[label]) ** 2 for row, label in zip(features, labels, strict=True)]
    return between, math.sqrt(sum(squares) / len(squares))


def test_separations_are_the_loops():
    torch.manual_seed(0)
    features, labels = torch.randn(30, 5, dtype=torch.float64), torch.arange(30) % 4
    assert separations(features, labels) == pytest.approx(by_loops(features.tolist(), labels.tolist()))
    between, within = separations(3 * features, labels)
    assert between / within == pytest.approx(separations(features, labels)[0] / separations(features, labels)[1])


def test_the_projection_keeps_what_varies_most():
    torch.manual_seed(0)
    plane = torch.randn(50, 2, dtype=torch.float64) * torch.tensor([5.0, 2.0])
    turn, _ = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))
    points = principal_components(torch.cat([plane, torch.zeros(50, 4)], 1) @ turn + 7)
    assert torch.allclose(torch.cdist(points, points), torch.cdist(plane, plane), atol=1e-5)
    assert points.var(0)[0] > points.var(0)[1]


def test_the_input_of_the_last_linear_layer_gives_the_logits():
    net = make_net("resnet8", {"width": 4}).eval()
    images = torch.randn(150, 3, 16, 16)
    features, logits = classifier_inputs(net, images, "net")
    classifier = classifier_of(net, "net")
    with torch.no_grad():
        assert torch.allclose(classifier(features), logits, atol=1e-5)
        assert torch.allclose(logits, net(images), atol=1e-5)
    assert not classifier._forward_pre_hooks


def test_a_network_without_a_linear_classifier_is_refused():
    net = make_net("resnet8", {"width": 4}).eval()
    net.head = nn.Sequential(nn.Conv2d(16, 10, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(UnskipError, match="no linear classifier"):
        classifier_of(net, "mine")
