"""One training by 1, 2 and 4 processes, and by two nodes: whether its steps are the same, and how fast they are.

    python benchmarks/processes.py --limit 4096 --epochs 2
    python benchmarks/processes.py --data CIFAR10 --net resnet20 --processes 1 2 4 --nodes 2

Each training is `unskip run` under torchrun, one thread a process. Its weights are compared with those of one process
that computes every batch in as many parts (`training.gradient_accumulation`): BatchNorm, on a CPU, takes its statistics
over a process's share of a batch as over a part of it. Nodes are launchers of their own on this machine, which meet
over loopback; all share its cores, so throughput says what sharing costs, not what more machines give.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file

from unskip.recipe import Recipe, recipe_from

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # of the first process there, of all parts here


def main() -> None:
    arguments = parsed()
    print(
        f"Python {platform.python_version()}, torch {torch.__version__}, {platform.machine()}, {os.cpu_count()} cores"
    )
    print(f"{'':24}{'images/s':>10}{'over one':>10}   largest difference of a weight from as many parts")
    with tempfile.TemporaryDirectory() as scratch:
        recipe = Path(scratch, "recipe.yaml")
        recipe.write_text(asked(arguments).to_yaml(), encoding="utf-8")
        alone = 0.0
        for nodes, count in [(1, count) for count in arguments.processes] + [(arguments.nodes, 1)] * (
            arguments.nodes > 1
        ):
            name = f"{nodes} nodes" if nodes > 1 else f"{count} process{'es' * (count > 1)}"
            folder, parts = Path(scratch, name, "run"), Path(scratch, f"{name} parts", "run")  # teachers are not shared
            trained(recipe, folder, nodes, count)
            trained(recipe, parts, 1, 1, "--set", f"training.gradient_accumulation={nodes * count}")
            rate = throughput(folder)
            alone = alone or rate
            differs = max(
                float((weights - other).abs().max())
                for key, weights in load_file(folder / "trained/teacher.safetensors").items()
                for other in [load_file(parts / "trained/teacher.safetensors")[key]]
                if not key.endswith(_STATISTICS)
            )
            print(f"{name:24}{rate:10,.0f}{rate / alone:10.2f}   {differs:.1e}", flush=True)


def asked(arguments: argparse.Namespace) -> Recipe:
    """The recipe, whose only training is the teacher's; nobody learns from it."""
    data = {"name": "digits"} if arguments.data is None else {"name": "parquet", "path": arguments.data}
    return recipe_from(
        {
            "data": {**data, "limit": arguments.limit, "test_limit": 200},
            "teacher": {"net": arguments.net, "options": {"width": arguments.width}, "accept_weak": True},
            "methods": {"ce": {}},
            "training": {"epochs": arguments.epochs, "batch_size": arguments.batch_size},
            "measure": {"latency": False},
        }
    )


def trained(recipe: Path, folder: Path, nodes: int, processes: int, *words: str) -> None:
    """Run the recipe under as many launchers as there are nodes, of so many processes each."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    launchers = []
    for node in range(nodes):
        launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--nnodes", str(nodes)]
        meeting = ["--node-rank", str(node), "--master-addr", "127.0.0.1", "--master-port", str(port)]
        command = [
            sys.executable,
            *launcher,
            *meeting,
            "-m",
            "unskip",
            "run",
            str(recipe),
            "--out",
            str(folder),
            *words,
        ]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        launchers.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
    said = [launcher.communicate()[0].decode() for launcher in launchers]
    if any(launcher.returncode for launcher in launchers):
        raise SystemExit("\n".join(text[-2000:] for text in said))


def throughput(folder: Path) -> float:
    """Images a second of the teacher's last epoch."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [row["images_per_second"] for row in rows if row["net"] == "teacher"][-1]


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="a folder of Parquet files; digits by default")
    parser.add_argument("--net", default="resnet14")
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--limit", type=int, default=1200, help="training images")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--nodes", type=int, default=2, help="1 leaves the rehearsal of several out")
    return parser.parse_args()


if __name__ == "__main__":
    main()
