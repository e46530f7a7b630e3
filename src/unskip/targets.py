"""A network from what names it: a name, a weights file or a run folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unskip.errors import UnskipError
from unskip.nets import StagedNet, find_net, image_channels, make_net
from unskip.run_folder import net_file
from unskip.surgery import edited
from unskip.weights import load_net


def resolve_net(
    target: str,
    options: Mapping[str, Any] | None = None,
    edits: Sequence[tuple[str, Mapping[str, Any]]] = (),
    image_size: tuple[int, int] | None = None,
) -> tuple[StagedNet, tuple[int, int, int]]:
    """The network that ``target`` names, with ``options`` and ``edits``, and the shape (C, H, W) of its input.

    A trained network, which a .safetensors file or a run folder names, takes no options. ``image_size`` is (height,
    width); without it, images are as the network expects them.
    """
    file = trained_file(target)
    if file is not None:
        if options:
            raise UnskipError(
                f"`settings` {next(iter(options))!r}: {target} is a trained network, whose options are fixed"
            )
        net, info = load_net(file)
        channels, *own_size = info.image_shape
        height, width = image_size or own_size
    else:
        net = make_net(target, options or {})
        height, width = image_size or (find_net(target).image_size,) * 2
        channels = image_channels(net, max(height, width))
    return edited(net, edits, seed=0), (channels, height, width)


def trained_file(target: str) -> Path | None:
    """The weights that a target means, None where it names a network of the zoo."""
    path = Path(target)
    return net_file(path) if path.suffix == ".safetensors" or path.is_dir() else None
