"""What can be compared: runs, networks on disk, deployed files, networks by name, and networks in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from unskip.data_info import DataInfo, image_shape_in
from unskip.errors import UnskipError
from unskip.measures import MeasuredNet
from unskip.nets import PACKAGES
from unskip.recipe import parse_edits, parse_settings
from unskip.run_folder import net_file
from unskip.runtimes import ending_of, read_metadata, runtime_for
from unskip.surgery import build
from unskip.targets import is_folder, resolve_net, trained_file
from unskip.tasks import Matching
from unskip.weights import described_net, has_spec, load_net

_RANDOM_SEED = 0  # of the weights of a network by its name

Shape = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Target(MeasuredNet):
    """One of the things that are compared, under a label that no other has.

    Of a ``file``, deployed already, ``net`` is on the meta device, and None where the file does not say what it holds.
    ``home`` is where the weights come from, None for random ones. ``info`` says which images it expects, as it takes
    them: mean 0 and standard deviation 1 where it normalises by itself; a network without it is one that nobody has
    trained.
    """

    label: str
    kind: Literal["run", "weights", "file", "name", "net"]
    file: Path | None = None
    home: Path | None = None
    info: DataInfo | None = None

    @property
    def metric(self) -> str:
        """That of answering as a teacher does, where it was trained without classes."""
        if self.info is None or self.info.classes:
            return super().metric
        return Matching.metric


def find_targets(texts: Sequence[str], image_size: tuple[int, int] | None = None) -> list[Target]:
    """The targets that a command line names, in its order; equal names are numbered.

    A text is a run folder (its best student), ``RUN:LABEL``, a file with weights, a deployed file, or a network by name
    with options and edits behind plus signs: ``resnet20+width=32+without_shortcuts``. Weights that do not say which
    network they are of are recognised, and may have edits behind them too. ``image_size`` is the
    (height, width) for networks by name, and for files that leave it open. Raises `UnskipError` for anything else.
    """
    if not texts:
        raise UnskipError("name what to compare: run folders, files, or networks such as resnet50")
    targets = [_target(text, image_size) for text in texts]
    times, seen = Counter(texts), Counter[str]()
    for place, text in enumerate(texts):
        seen[text] += 1
        if times[text] > 1:
            targets[place] = replace(targets[place], label=f"{text} ({seen[text]})")
    return targets


def _target(text: str, image_size: tuple[int, int] | None) -> Target:
    path = Path(text)
    run, colon, label = text.rpartition(":")
    if is_folder(text):
        return _trained(text, "run", net_file(path))
    if colon and f"{run}:NAME" not in PACKAGES and Path(run).is_dir():
        return _trained(text, "run", net_file(Path(run), label))
    if ending_of(path):
        return _deployed(text, path, image_size)
    name = text.partition("+")[0]
    file = trained_file(name)
    if file is not None and name == text and has_spec(file):
        return _trained(text, "weights", file)
    if file is None and len(path.parts) > 1:
        raise UnskipError(f"no file or run folder {text}")
    return _by_name(text, image_size, file)


def _trained(label: str, kind: Literal["run", "weights"], file: Path) -> Target:
    net, info = load_net(file)
    return Target(net, info.image_shape, label=label, kind=kind, home=file, info=info)


def _by_name(text: str, image_size: tuple[int, int] | None, file: Path | None) -> Target:
    """A network by its name, or by a ``file`` with weights that does not say which images it expects."""
    name, *changes = text.split("+")
    options = [change for change in changes if "=" in change and ":" not in change]
    edits = [change for change in changes if change not in options]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_RANDOM_SEED)
        net, shape = resolve_net(name, parse_settings(options), parse_edits(edits), image_size)
    return Target(net.eval(), shape, label=text, kind="weights" if file else "name", home=file)


def _deployed(text: str, file: Path, image_size: tuple[int, int] | None) -> Target:
    """A deployed file, with the network that it says it holds, without weights, and what it says of its images."""
    facts = read_metadata(file)
    shape = _shape(file, facts, image_size)
    net, info = None, None
    if "net" in facts:
        spec = described_net(facts, f"the metadata of {file}")
        with torch.device("meta"):
            net = build(spec, seed=0).eval()
    if "classes" in facts:
        info = DataInfo.from_json(facts, file)
        if facts.get("normalization") == "inside":
            info = replace(info, mean=(0.0,) * shape[0], std=(1.0,) * shape[0])
    precision = facts.get("precision", "float32")
    return Target(net, shape, precision, label=text, kind="file", file=file, home=file, info=info)


def _shape(file: Path, facts: Mapping[str, str], image_size: tuple[int, int] | None) -> Shape:
    if "image_shape" in facts:
        return image_shape_in(facts, file)
    shape = runtime_for(file).load(file).input_shape
    if shape is None:
        if image_size is None:
            raise UnskipError(f"{file} does not say of which size its images are; give `image_size`")
        return 3, *image_size
    return shape
