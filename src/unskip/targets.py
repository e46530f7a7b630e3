"""A network from what names it: a name, a weights file or a run folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unskip.errors import UnskipError
from unskip.nets import StagedNet, find_net, image_channels, make_net
from unskip.surgery import edited

if TYPE_CHECKING:  # what reads files is imported when there is one
    from unskip.recognition import Recognition

_OF_WEIGHTS = (".safetensors", ".pth", ".pt", ".th", ".bin", ".ckpt", ".tar", ".pkl")
_NAMED = 3  # tensors in a sentence

Shape = tuple[int, int, int]


def resolve_net(
    target: str,
    options: Mapping[str, Any] | None = None,
    edits: Sequence[tuple[str, Mapping[str, Any]]] = (),
    image_size: tuple[int, int] | None = None,
) -> tuple[StagedNet, Shape]:
    """The network that ``target`` names, with ``options`` and ``edits``, and the shape (C, H, W) of its input.

    A trained network, which a run folder or a file with weights names, takes no options; of a file that does not say
    which network it holds, that is recognised. ``image_size`` is (height, width); without it, images are as the network
    expects them. Raises `UnskipError` for a file that is no known network's for certain.
    """
    file = trained_file(target)
    if file is None:
        net = make_net(target, options or {})
        shape = _usual_shape(net, target, image_size)
    else:
        if options:
            raise UnskipError(
                f"`settings` {next(iter(options))!r}: {target} is a trained network, whose options are fixed"
            )
        net, shape = _trained(file, image_size)
    return edited(net, edits, seed=0), shape


def is_folder(target: str) -> bool:
    """Whether a target means a folder: a network's name goes before a folder of that name, which is ``./NAME``."""
    if not Path(target).is_dir():
        return False
    try:
        find_net(target)
    except UnskipError:
        return True
    return False


def trained_file(target: str) -> Path | None:
    """The file with the weights that a target means, None where it names a network of the zoo."""
    path = Path(target)
    if is_folder(target) or path.suffix == ".safetensors":
        from unskip.run_folder import net_file

        return net_file(path)
    if path.suffix.lower() not in _OF_WEIGHTS and not (path.suffix and path.is_file()):
        return None
    from unskip.run_folder import net_file
    from unskip.runtimes import ending_of

    if ending_of(path):
        raise UnskipError(f"{path} is a deployed file, not weights; give the network that it was exported from")
    return net_file(path)


def recognised(file: Path) -> Recognition | None:
    """The known network that the weights in a file belong to; None for a file that says itself which it holds.

    Raises `UnskipError` where that is not certain, with the network that it looks most like.
    """
    from unskip.weights import has_spec

    if has_spec(file):
        return None
    status = file.stat()
    recognition = _recognised(file, status.st_size, status.st_mtime_ns)
    if recognition is not None and recognition.is_certain:
        return recognition
    ask = (
        "name the network, such as resnet50, torchvision:NAME, timm:NAME or PACKAGE.MODULE:FACTORY, where one is asked "
        "for; a recipe has the file as teacher.weights"
    )
    if recognition is None:
        raise UnskipError(f"{file} does not say which network it holds, and its tensors are no known one's; {ask}")
    if recognition.fits:
        others = ", ".join((recognition.source, *recognition.others))
        raise UnskipError(f"{file} may be of any of {others}, which have the same tensors and compute otherwise; {ask}")
    apart = [
        f"{what} {len(names)} ({', '.join(names[:_NAMED])}{', ..' if len(names) > _NAMED else ''})"
        for what, names in (("it lacks", recognition.missing), ("it has besides", recognition.extra))
        if names
    ]
    raise UnskipError(
        f"{file} looks most like {recognition}, of which it has {recognition.fitting} of {recognition.of} tensors in "
        f"their shapes, but is of another network: {'; '.join(apart)}; {ask}"
    )


@lru_cache(maxsize=8)
def _recognised(file: Path, size: int, changed: int) -> Recognition | None:
    """A file of that size, changed at that time, is looked at once by a process."""
    from unskip.weights import recognise_file

    return recognise_file(file)


def _trained(file: Path, image_size: tuple[int, int] | None) -> tuple[StagedNet, Shape]:
    """The network with its weights, in eval mode, and the shape of its images."""
    from unskip.weights import load_net, load_weights

    recognition = recognised(file)
    if recognition is None:
        net, info = load_net(file)
        return net, (info.image_shape[0], *(image_size or info.image_shape[1:]))
    net = make_net(recognition.source, recognition.options)
    load_weights(net, file)
    return net.eval(), _usual_shape(net, recognition.source, image_size)


def _usual_shape(net: StagedNet, source: str, image_size: tuple[int, int] | None) -> Shape:
    """Images of the size that a network was designed for, or of another, with the channels that it takes."""
    height, width = image_size or (find_net(source).image_size,) * 2
    return image_channels(net, max(height, width)), height, width
