"""Which highest rate suits a network that starts from trained weights: short trainings on the handwritten digits.

A ResNet-20 is trained for 10 epochs; from its weights, trainings of one epoch (22 steps of 64 images) under the
onecycle schedule begin: all of it on the labels (`ce`), with the shortcuts cut at once (`align_kd`), with two blocks a
stage (`kd`), and with shortcuts that fade (`fade_kd`). Prints the accuracy in percent on 359 test images, seed by seed.

    python benchmarks/rates_of_trained.py --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable

import torch

import unskip
from unskip.recipe import OneCycle

Start = Callable[[unskip.StagedNet], tuple[unskip.Method, unskip.StagedNet | None]]
STARTS: dict[str, Start] = {
    "ce": lambda net: (unskip.CE(), copy.deepcopy(net)),
    "align_kd": lambda net: (unskip.AlignKD(), None),
    "kd": lambda net: (unskip.KD(), copy.deepcopy(net.at_depth(2, 2, 2))),
    "fade_kd": lambda net: (unskip.FadeKD(), None),
}


def training(epochs: int, rate: float) -> unskip.TrainingRecipe:
    """One schedule, whatever is trained."""
    return unskip.TrainingRecipe(epochs=epochs, batch_size=64, validate_every=epochs, schedule=OneCycle(max_lr=rate))


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=STARTS, default=list(STARTS))
    parser.add_argument("--rates", nargs="+", type=float, default=[0.1, 0.05, 0.03, 0.02])
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    arguments = parser.parse_args()
    data = unskip.load_data(unskip.DataRecipe())
    torch.manual_seed(0)
    teacher = unskip.make_net("resnet20", {"in_channels": 1})
    trained = unskip.distill(None, data, unskip.CE(), student=teacher, training=training(10, 0.05))
    print(f"teacher {100 * trained.history[-1]['score']:.1f}")
    for name in arguments.only:
        for rate in arguments.rates:
            scores = []
            for seed in arguments.seeds:
                method, student = STARTS[name](teacher)
                run = unskip.distill(
                    teacher, data, method, student=student, training=training(arguments.epochs, rate), seed=seed
                )
                scores.append(f"{100 * run.history[-1]['score']:.1f}")
            print(f"{name:10} {rate:<6g} {', '.join(scores)}", flush=True)


if __name__ == "__main__":
    main()
