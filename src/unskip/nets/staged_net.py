"""The vocabulary: a network is a sequence of named parts, a block with a shortcut is a `Residual`.

Every paper of this project is a slice or an edit of such sequences; see docs/explanation/concepts.md.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard, overload

from torch import Tensor, nn

from unskip.errors import UnskipError
from unskip.nets.depth import first_blocks, norms_at_depth
from unskip.nets.layers import sequence


@dataclass(frozen=True)
class NetSpec:
    """A network as plain data, enough to build it again: a source, its options, and the edits made since.

    ``edits`` are pairs of an edit's name and its arguments, in the order in which they were made.
    """

    source: str
    options: Mapping[str, Any] = field(default_factory=dict)
    edits: tuple[tuple[str, Mapping[str, Any]], ...] = ()

    def edited(self, name: str, **arguments: Any) -> NetSpec:
        """The same spec with one more edit."""
        return NetSpec(self.source, self.options, (*self.edits, (name, arguments)))

    def __str__(self) -> str:
        """``wrn-22x2 with grouped convs (groups 2) without shortcuts``: source and edits in words."""
        words = [self.source]
        for name, arguments in self.edits:
            given = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in arguments.items() if value)
            words.append(name.replace("_", " ") + (f" ({given})" if given else ""))
        return " ".join(words)

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "source": self.source,
            "options": dict(self.options),
            "edits": [[name, dict(arguments)] for name, arguments in self.edits],
        }

    @classmethod
    def from_json(cls, data: Any) -> NetSpec:
        """The spec that :meth:`to_json` wrote; `UnskipError` for data of another form."""
        fields = data if isinstance(data, Mapping) else {}
        source, options, edits = (fields.get(name) for name in ("source", "options", "edits"))
        pairs: Sequence[Any] = edits if isinstance(edits, list | tuple) else [None]
        if not isinstance(source, str) or not _is_keyed(options) or not all(map(_is_edit, pairs)):
            raise UnskipError(
                "no network: expected a name under 'source', names with values under 'options', and pairs of a name "
                "and its arguments under 'edits'"
            )
        return cls(source, dict(options), tuple((name, dict(arguments)) for name, arguments in pairs))


def _is_keyed(value: Any) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


def _is_edit(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and isinstance(value[0], str) and _is_keyed(value[1])


class Residual(nn.Module):
    """A block with a shortcut: ``activation(body(x) + shortcut(x))``.

    The shortcut is an identity or a projection (1x1 convolution and BatchNorm). Pre-activation blocks have an identity
    as activation.
    """

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None, activation: nn.Module | None = None) -> None:
        super().__init__()
        self.body = body
        self.shortcut = nn.Identity() if shortcut is None else shortcut
        self.activation = nn.Identity() if activation is None else activation

    @property
    def kind(self) -> str:
        """``identity`` or ``projection``."""
        return "identity" if isinstance(self.shortcut, nn.Identity) else "projection"

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) to the same, or to what the projection makes of it."""
        return self.activation(self.body(x) + self.shortcut(x))


def plain_block(body: nn.Module, activation: nn.Module) -> nn.Sequential:
    """A block without a shortcut, its parameters under the same names as in the `Residual` that it comes from."""
    return sequence({"body": body} | ({} if isinstance(activation, nn.Identity) else {"activation": activation}))


class Joining(nn.Sequential):
    """A head that reads, beside the map in front of it, what earlier parts gave: its last module gets both.

    ``reads`` names these parts, ``images`` being what the network itself gets. With ``.shape`` behind it, only the
    shape is handed on: the map need not live so long.
    """

    def __init__(self, layers: Mapping[str, nn.Module], reads: Sequence[str]) -> None:
        super().__init__(OrderedDict(layers))
        self.reads = tuple(reads)

    @property
    def parts_read(self) -> frozenset[str]:
        """The names of the parts whose maps it reads, or looks at the shapes of."""
        return frozenset(read.removesuffix(".shape") for read in self.reads)

    def forward(self, x: Tensor, *read: Any) -> Any:
        """What the network answers: a structure of tensors."""
        *layers, join = self
        for layer in layers:
            x = layer(x)
        return join(x, *read)

    def chosen(self, maps_before: Mapping[str, Tensor]) -> list[Any]:
        """What it reads of what the parts gave; `UnskipError` in a slice without one of them."""
        missing = sorted(self.parts_read - maps_before.keys())
        if missing:
            raise UnskipError(
                f"this slice of a network ends in a head that reads {', '.join(missing)}, not a part of it"
            )
        maps = [maps_before[read.removesuffix(".shape")] for read in self.reads]
        return [x.shape if read.endswith(".shape") else x for read, x in zip(self.reads, maps, strict=True)]


class StagedNet(nn.Sequential):
    """A network as a sequence of named parts: ``stem, stage1 .. stageN, head``.

    Every part hands its map on to the next. A head that reads maps of earlier parts too, as those of detectors and of
    segmentation nets do, is a `Joining`, and the network then answers a structure of tensors.

    A slice is again a `StagedNet` that shares its parameters, so ``student[:k] + teacher[k:]`` is a hybrid of the two;
    the parts keep their names, and so do all keys of the state dict. ``spec`` says how to build the whole network
    again; slices and hybrids have none. ``original_names`` of a parsed network are the names that its tensors had,
    ``unused_names`` those of tensors that the original has and its forward never reads.
    """

    spec: NetSpec | None
    original_names: Mapping[str, str]
    unused_names: tuple[str, ...]

    def __init__(self, parts: Mapping[str, nn.Module], spec: NetSpec | None = None) -> None:
        super().__init__(OrderedDict(parts))
        self.spec = spec
        self.original_names = {}
        self.unused_names = ()

    @property
    def part_names(self) -> tuple[str, ...]:
        """The names of the parts, in order."""
        return tuple(self._modules)

    @property
    def stage_names(self) -> tuple[str, ...]:
        """The names of the stages, in order."""
        return tuple(name for name in self._modules if name.startswith("stage"))

    def is_in_stage(self, place: str) -> bool:
        """Whether a module of that name (``stage2.block1.body``) is a stage or in one."""
        return place.split(".")[0] in self.stage_names

    def named_parts(self) -> Iterator[tuple[str, nn.Module]]:
        """Names and parts, in order."""
        for name, part in self._modules.items():
            assert part is not None
            yield name, part

    @overload
    def __getitem__(self, index: slice) -> StagedNet: ...
    @overload
    def __getitem__(self, index: int) -> nn.Module: ...
    def __getitem__(self, index: int | slice) -> nn.Module:
        """A part by its place, or a slice of the network that shares its parameters."""
        if isinstance(index, slice):
            return StagedNet(dict(list(self.named_parts())[index]))
        return list(self._modules.values())[index]

    def __add__(self, other: nn.Sequential) -> StagedNet:
        """The parts of both, one after the other, parameters shared. `ValueError` when a name would stand twice."""
        if not isinstance(other, StagedNet):
            raise TypeError(f"a StagedNet can be joined with a StagedNet, not with {type(other).__name__}")
        twice = set(self._modules) & set(other._modules)
        if twice:
            raise ValueError(
                f"both sides have the part {', '.join(sorted(twice))}; cut both at the same place: a[:k] + b[k:]"
            )
        return StagedNet(dict([*self.named_parts(), *other.named_parts()]))

    def at_depth(self, *blocks_per_stage: int) -> StagedNet:
        """The first ``blocks_per_stage[s]`` blocks of each stage, then straight on: a sub-net (EKD-DDNN, section 3).

        It shares the parameters of this network, and BatchNorm's statistics too unless `with_depth_statistics` gave
        this depth its own. What is in a stage besides blocks, such as a pool, stays. `unskip.surgery.extract` makes it
        a network of its own.

        Raises `UnskipError` for another number of stages, for more blocks than there are, and for a block that cannot
        be left out because it changes its input's shape.
        """
        if len(blocks_per_stage) != len(self.stage_names):
            raise UnskipError(
                f"a depth is a number of blocks for each of {len(self.stage_names)} stages, "
                f"not {len(blocks_per_stage)}: {', '.join(map(str, blocks_per_stage))}"
            )
        wanted = dict(zip(self.stage_names, blocks_per_stage, strict=True))
        parts = {
            name: first_blocks(name, part, wanted[name]) if name in wanted else part
            for name, part in self.named_parts()
        }
        if any(parts[name] is not part for name, part in self.named_parts()):
            parts = {name: norms_at_depth(part, blocks_per_stage) for name, part in parts.items()}
        spec = self.spec.edited("at_depth", blocks=list(blocks_per_stage)) if self.spec else None
        made = StagedNet(parts, spec)
        made.training = self.training  # the parts keep their own modes
        return made

    @property
    def handed_on(self) -> frozenset[str]:
        """The names of the parts whose maps are read by others than the next part."""
        return frozenset(name for part in self if isinstance(part, Joining) for name in part.parts_read)

    def forward(self, images: Tensor) -> Any:
        """(batch, channels, height, width) to what the last part gives: logits (batch, classes) for a classifier."""
        return self._run(images, self.handed_on)[1]

    def features(self, images: Tensor) -> tuple[list[Tensor], Any]:
        """Run the network and keep what its stages give.

        images: (batch, channels, height, width). Returns one map per stage, each (batch, C, H, W), after the stage's
        last activation, and the output of the last part: logits (batch, classes) for a whole network that classifies.
        """
        maps, answers = self._run(images, self.handed_on.union(self.stage_names))
        return [maps[name] for name in self.stage_names], answers

    def outputs(self, images: Tensor) -> dict[str, Any]:
        """What each part gives, by its name, the stem and the head included."""
        outputs, _ = self._run(images, self.handed_on.union(self.part_names))
        return {name: outputs[name] for name in self.part_names}

    def _run(self, images: Tensor, keep: Collection[str]) -> tuple[dict[str, Any], Any]:
        """What the parts in ``keep`` give, and what the last one does."""
        maps = {"images": images} if "stem" in self._modules else {}  # else they are what an earlier part gave
        x = images
        for name, part in self.named_parts():
            x = part(x, *part.chosen(maps)) if isinstance(part, Joining) else part(x)
            if name in keep:
                maps[name] = x
        return maps, x
