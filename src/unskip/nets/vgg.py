"""VGG with BatchNorm (Simonyan and Zisserman, 2015), in the project's vocabulary.

Five stages of 3x3 convolutions, each a block of convolution, BN, ReLU; it has no shortcuts and no stem. A max-pool
opens every stage but the first, and the head. EKD-DDNN (table 1) switches the number of blocks in a stage.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pydantic import PositiveInt
from torch import Tensor, nn

from unskip.nets.assembly import assembled, conv_bn, stages
from unskip.nets.layers import renamed, sequence
from unskip.nets.staged_net import StagedNet

BLOCKS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


def vgg(
    blocks: Sequence[int],
    *,
    small_images: bool = False,
    width: PositiveInt = 64,
    num_classes: PositiveInt = 1000,
    in_channels: PositiveInt = 3,
) -> StagedNet:
    """The net with ``blocks[s]`` convolutions in stage s; ``width``, 2x, 4x, 8x and 8x as wide from stage to stage.

    The head has three linear layers: two of 64 ``width`` units behind a map of 7x7 (ImageNet), or with
    ``small_images`` two of 8 ``width`` behind a global average.
    """
    plan = [(_block, count, width * min(2**stage, 8), 1) for stage, count in enumerate(blocks)]
    parts, channels = stages(in_channels, plan, {stage: nn.MaxPool2d(2) for stage in range(2, len(blocks) + 1)})
    side, hidden = (1, channels) if small_images else (7, 8 * channels)
    head = {
        "pool": nn.MaxPool2d(2),
        "average": nn.AdaptiveAvgPool2d(side),
        "flatten": nn.Flatten(),
        "fc1": nn.Linear(channels * side * side, hidden),
        "relu1": nn.ReLU(inplace=True),
        "dropout1": nn.Dropout(0.5),
        "fc2": nn.Linear(hidden, hidden),
        "relu2": nn.ReLU(inplace=True),
        "dropout2": nn.Dropout(0.5),
        "fc": nn.Linear(hidden, num_classes),
    }
    return assembled({**parts, "head": sequence(head)})


def _block(in_channels: int, width: int, stride: int) -> nn.Sequential:
    return sequence(conv_bn(in_channels, width, 3, stride, bias=True))


def from_torchvision(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of a torchvision VGG with BN under this module's names; unknown names stay as they are.

    torchvision numbers the layers of all stages in one sequence; four-dimensional weights are convolutions, and a gap
    that a pooling layer leaves in the numbers opens a stage.
    """
    places = {"classifier.0": "head.fc1", "classifier.3": "head.fc2", "classifier.6": "head.fc"}
    convolutions = sorted(
        int(name.split(".")[1])
        for name, tensor in tensors.items()
        if re.fullmatch(r"features\.\d+\.weight", name) and tensor.dim() == 4
    )
    stage, block, expected = 1, 0, 0
    for number in convolutions:
        stage, block = (stage, block + 1) if number == expected else (stage + 1, 1)
        expected = number + 3  # convolution, BN, ReLU
        places[f"features.{number}"] = f"stage{stage}.block{block}.conv"
        places[f"features.{number + 1}"] = f"stage{stage}.block{block}.bn"
    return renamed(tensors, places)
