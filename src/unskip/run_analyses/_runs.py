"""Complete runs for analyses to look at, and which of their networks are the same but for the seed."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, overload

from torch import Tensor

from unskip.data import Data
from unskip.deploying import data_for
from unskip.errors import UnskipError, nearest
from unskip.nets import StagedNet
from unskip.past_runs import read_past_runs
from unskip.recipe import Recipe, TrainingRecipe, load_recipe
from unskip.recipe_nets import student_spec, teacher_spec
from unskip.records import PastRun, Run
from unskip.records.run_analysis import AnalyzedRun
from unskip.run_folder import RunFolder
from unskip.weights import load_net

Kind = Literal["teacher", "residual", "plain", "distilled"]
_SAYS_NOTHING = {"snapshots", "checkpoint_minutes", "tensorboard", "validate_every"}


class TrainedRun:
    """A complete run: its folder, its record, its recipe, its networks and its images."""

    def __init__(self, past: PastRun) -> None:
        assert past.results is not None
        self.label = past.label
        self.seed = past.seed
        self.test_set = past.test_set
        self.record: Run = past.results
        self.folder = RunFolder(Path(past.path))
        self.recipe: Recipe = load_recipe(self.folder.recipe)

    @property
    def about(self) -> AnalyzedRun:
        """As an analysis's record has it."""
        return AnalyzedRun(label=self.label, path=str(self.folder.path), seed=self.seed)

    @property
    def labels(self) -> list[str]:
        """Of all its networks, the teacher first."""
        return [net.label for net in self.record.nets]

    @cached_property
    def data(self) -> Data:
        """Its images, as its networks expect them."""
        file = self.folder.weights("teacher")
        return data_for(file, load_net(file)[1], None, ())

    def kind(self, label: str) -> Kind:
        """What a network is: without shortcuts a plain one, if it was trained on the labels alone, or a distilled."""
        net = next(net for net in self.record.nets if net.label == label)
        if net.role == "teacher":
            return "teacher"
        if self.record.subject(net).shortcuts:
            return "residual"
        return "plain" if net.method == "ce" else "distilled"

    def training(self, label: str) -> TrainingRecipe:
        """The settings of a training, by its label."""
        return self.recipe.training_of(label)

    def training_label(self, label: str) -> str:
        """The label of the training that a network comes out of."""
        return next(net.training or net.label for net in self.record.nets if net.label == label)

    def net(self, label: str, epochs: int | None = None) -> StagedNet:
        """A network in eval mode: the one that ships, or as its training had it after so many epochs."""
        file = self.folder.weights(label) if epochs is None else self.folder.snapshot(label, epochs)
        return load_net(file)[0]

    def in_training(self, label: str, epochs: int | None = None) -> StagedNet:
        """The network that a training trains: as it left it, or after so many epochs."""
        file = self.folder.trained(label) if epochs is None else self.folder.snapshot(label, epochs)
        return load_net(file if file.is_file() else self.folder.weights(label))[0]

    def has_snapshot(self, label: str, epochs: int) -> bool:
        """Whether it kept the weights of a training after so many epochs."""
        return self.folder.snapshot(label, epochs).is_file()

    def decisive(self, label: str) -> str:
        """What decides a network besides the seed."""
        recipe = self.recipe
        facts: dict[str, Any] = {
            "label": label,
            "teacher": recipe.teacher.model_dump(mode="json", exclude={"training", "accept_weak"}),
            "data": recipe.data.model_dump(mode="json", exclude={"workers"}),
            "trained": recipe.training_of("teacher").model_dump(mode="json", exclude=_SAYS_NOTHING),
        }
        if label != "teacher":
            facts["student"] = recipe.student.model_dump(mode="json")
            facts["method"] = recipe.methods.get(self.training_label(label))
            training = self.training(self.training_label(label))
            facts["training"] = training.model_dump(mode="json", exclude=_SAYS_NOTHING)
        return json.dumps(facts, sort_keys=True)

    @property
    def family(self) -> tuple[str, str]:
        """Which networks its teacher and its student are."""
        return str(teacher_spec(self.recipe)), str(student_spec(self.recipe))


@dataclass(frozen=True)
class Subject:
    """A network that runs have in common, one in each: the same but for the seed.

    ``label`` is unique among those that are looked at, ``net`` the label in its runs. ``epochs`` are those after which
    all its runs have kept its weights, ``trained_for`` is how many there were. Those of a ``family`` have one teacher
    and one student architecture. It ``leads`` where it is the first network that comes out of its training.
    """

    label: str
    net: str
    kind: Kind
    family: int
    color: int
    runs: tuple[TrainedRun, ...]
    epochs: tuple[int, ...]
    trained_for: int
    leads: bool

    def nets(self, epochs: int | None = None) -> Iterator[tuple[TrainedRun, StagedNet]]:
        """Each run with its network, as it ships or after so many epochs."""
        return ((run, run.net(self.net, epochs)) for run in self.runs)


class Runs(Sequence[TrainedRun]):
    """Complete runs with labels, on the same test images.

    ``subjects`` are their networks; ``say`` is told what is being done.
    """

    def __init__(
        self, runs: Sequence[TrainedRun], nets: Collection[str] = (), say: Callable[[str], None] = lambda words: None
    ) -> None:
        self._runs = tuple(runs)
        self.say = say
        self.subjects = tuple(_subjects(self._runs, nets))

    @overload
    def __getitem__(self, place: int) -> TrainedRun: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[TrainedRun]: ...
    def __getitem__(self, place: int | slice) -> TrainedRun | Sequence[TrainedRun]:
        return self._runs[place]

    def __len__(self) -> int:
        return len(self._runs)

    @property
    def about(self) -> tuple[AnalyzedRun, ...]:
        """As an analysis's record has them."""
        return tuple(run.about for run in self._runs)

    def test_images(self, count: int) -> tuple[Tensor, Tensor]:
        """Test images (count, channels, height, width), normalised, balanced over the classes, and their labels."""
        return self._runs[0].data.labelled_test_images(count)

    def epochs_of(self, subject: Subject, wanted: Sequence[int] | None) -> tuple[int, ...]:
        """The epochs whose weights are looked at besides the last: those that are ``wanted``, by default all there are.

        Raises `UnskipError` where a student's run has not kept one that is wanted; a teacher that was given has none.
        """
        if wanted is None:
            return subject.epochs
        for run in subject.runs:
            missing = [epochs for epochs in wanted if not run.has_snapshot(subject.net, epochs)]
            if missing and subject.kind != "teacher":
                raise UnskipError(
                    f"{run.folder.path} has not kept the weights of {subject.net} after epoch {missing[0]}; only a run "
                    f"with training.snapshots: {sorted({*subject.epochs, *wanted})} keeps them"
                )
        return tuple(sorted(epochs for epochs in set(wanted) if epochs in subject.epochs))


def read_runs(
    folders: Sequence[Path], *, nets: Collection[str] = (), say: Callable[[str], None] = lambda words: None
) -> Runs:
    """Run folders to analyse together, of whose networks those with labels in ``nets``, by default all.

    Raises `UnskipError` for a run that is not complete, one without labels, one on other test images than the first,
    one that another one repeats, and for a label that no run has.
    """
    past = read_past_runs(folders).runs
    for run in past:
        if run.results is None:
            raise UnskipError(f"{run.path} is not complete, so there is nothing to analyse yet; `unskip run` goes on")
        if not run.results.data.classes:
            raise UnskipError(
                f"{run.path} has the task {run.results.task}, and analyses of runs are of networks that tell classes "
                "apart; name runs of images with labels"
            )
        if run.test_set != past[0].test_set:
            raise UnskipError(
                f"{run.path} was tested on other images ({run.data}) than {past[0].path} ({past[0].data}); analyse "
                "runs of one data set together"
            )
    runs = [TrainedRun(run) for run in past]
    _check_distinct(runs)
    known = list(dict.fromkeys(label for run in runs for label in run.labels))
    for label in nets:
        if label not in known:
            raise UnskipError(f"no run has a network {label!r}{nearest(label, known)} (known: {', '.join(known)})")
    return Runs(runs, nets, say)


def _check_distinct(runs: Sequence[TrainedRun]) -> None:
    runs_of: dict[tuple[int, ...], TrainedRun] = {}
    for run in runs:
        key = (run.seed, *map(hash, map(run.decisive, run.labels)))
        if key in runs_of:
            raise UnskipError(
                f"{run.folder.path} repeats {runs_of[key].folder.path}: the same recipe and the same seed; leave "
                "one out"
            )
        runs_of[key] = run


def _subjects(runs: Sequence[TrainedRun], nets: Collection[str]) -> Iterator[Subject]:
    members: dict[str, dict[int, TrainedRun]] = {}
    of: dict[str, tuple[str, TrainedRun]] = {}
    for run in runs:
        for label in run.labels:
            if nets and label not in nets:
                continue
            key = run.decisive(label) + json.dumps(run.family)
            members.setdefault(key, {}).setdefault(run.seed, run)  # a teacher that several runs share counts once
            of.setdefault(key, (label, run))
    families = list(dict.fromkeys(run.family for _, run in of.values()))
    prefixes = _prefixes([next(run for run in runs if run.family == family) for family in families])
    labels = {key: prefixes[families.index(run.family)] + label for key, (label, run) in of.items()}
    repeated = {label for label in labels.values() if list(labels.values()).count(label) > 1}
    students = dict.fromkeys(label for label, _ in of.values() if label != "teacher")
    for key, (label, first) in of.items():
        own = tuple(members[key].values())
        training = first.training(first.training_label(label))
        offered = training.snapshots if first.training_label(label) == label else ()
        yield Subject(
            label=f"{labels[key]} ({first.label})" if labels[key] in repeated else labels[key],
            net=label,
            kind=first.kind(label),
            family=families.index(first.family),
            color=0 if label == "teacher" else 1 + list(students).index(label) % 6,
            runs=own,
            epochs=tuple(epochs for epochs in offered if all(run.has_snapshot(label, epochs) for run in own)),
            trained_for=training.epochs,
            leads=next(each for each in first.labels if first.training_label(each) == first.training_label(label))
            == label,
        )


def _prefixes(firsts: Sequence[TrainedRun]) -> list[str]:
    """What tells the families apart, in front of their networks' labels; nothing where there is one."""
    if len(firsts) == 1:
        return [""]
    names: Mapping[str, list[str]] = {
        "net": [run.recipe.teacher.net for run in firsts],
        "teacher": [run.family[0] for run in firsts],
        "student": [run.family[1] for run in firsts],
    }
    for words in names.values():
        if len(set(words)) == len(words):
            return [f"{word} " for word in words]
    return [f"{run.label} " for run in firsts]


def first_of(family: Sequence[Subject], *kinds: Kind) -> Subject | None:
    """The first network of the first of these kinds that there is one of."""
    return next((subject for kind in kinds for subject in family if subject.kind == kind), None)
