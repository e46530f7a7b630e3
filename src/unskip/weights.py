"""Networks as files: safetensors with the net's spec and what it was trained on in the header. Nothing is unpickled."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from unskip.data_info import DataInfo
from unskip.errors import UnskipError, first_line
from unskip.files import write_bytes
from unskip.nets import NetSpec, StagedNet, find_net
from unskip.surgery import build

__all__ = ["PRETRAINED", "load_initial_weights", "load_net", "load_weights", "read_data_info", "save_net"]


# In the place of a file: the weights that come with a network of another package.
PRETRAINED = "pretrained"


def save_net(net: StagedNet, path: Path, info: DataInfo) -> None:
    """Write weights, spec and ``info`` into one safetensors file, whole or not at all."""
    assert net.spec is not None, "only a network with a spec can be built again"
    # One entry, since safetensors orders several at random and equal nets shall be equal files.
    header = {"unskip": json.dumps({"net": json.dumps(net.spec.to_json()), **info.to_json()})}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    write_bytes(path, safetensors.torch.save(tensors, metadata=header))


def load_net(path: Path) -> tuple[StagedNet, DataInfo]:
    """The network that :func:`save_net` wrote, in eval mode. `UnskipError` for any other file."""
    tensors, header = _read_safetensors(path)
    if "unskip" not in header:
        raise UnskipError(f"{path} has no net spec in its header; give it as teacher.weights with teacher.net instead")
    try:
        facts = json.loads(header["unskip"])
        spec = NetSpec.from_json(json.loads(facts["net"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UnskipError(f"the header of {path} is damaged: {error}") from error
    info = DataInfo.from_json(facts, path)
    net = build(spec, seed=0)
    _load(net, tensors, path)
    return net.eval(), info


def read_data_info(path: Path) -> DataInfo | None:
    """What the network in a file that :func:`save_net` wrote expects; None for files of other origin."""
    if path.suffix != ".safetensors":
        return None
    header = _read_header(path)
    return DataInfo.from_json(json.loads(header["unskip"]), path) if "unskip" in header else None


def load_weights(net: StagedNet, path: Path) -> None:
    """Load weights into a network in place: safetensors, or a torchvision or PyTorch state dict (.pth, .pt).

    A state dict is read with ``weights_only=True``; the names of torchvision, or of the network that was parsed, are
    translated. The path `PRETRAINED` stands for the weights that torchvision or timm publish. Raises `UnskipError` that
    lists the keys and shapes that differ when the file belongs to another network.
    """
    _load(net, _read(net, path), path)


def load_initial_weights(net: StagedNet, path: Path) -> None:
    """Load weights to go on training from, as :func:`load_weights` does, but for a last layer of other classes.

    The last layer of the network keeps its own, fresh weights where the file's have another shape.
    """
    tensors, own = _read(net, path), net.state_dict()
    last = [name for name, module in net.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
    for name in (f"{last}.weight", f"{last}.bias"):
        if name in tensors and name in own and tensors[name].shape != own[name].shape:
            tensors[name] = own[name]
    _load(net, tensors, path)


def _read(net: StagedNet, path: Path) -> dict[str, Tensor]:
    """The tensors in a file, under the names that the network has for them."""
    if str(path) == PRETRAINED:
        tensors = _published(net)
    elif path.suffix == ".safetensors":
        tensors = _read_safetensors(path)[0]
    else:
        _check_exists(path)
        try:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a pickle can fail in any way; torch's own text names what it refused
            raise UnskipError(f"{path} is no state dict that can be read safely: {first_line(error)}") from error
        if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
            loaded = loaded["state_dict"]
        if not isinstance(loaded, Mapping) or not all(isinstance(value, Tensor) for value in loaded.values()):
            raise UnskipError(f"{path} is no state dict: expected names and tensors")
        tensors = {str(name).removeprefix("module."): value for name, value in loaded.items()}
    return _translated(net, tensors)


def _published(net: StagedNet) -> dict[str, Tensor]:
    published = find_net(net.spec.source).published if net.spec else None
    if published is None:
        source = net.spec.source if net.spec else "a network without a spec"
        raise UnskipError(
            f"nobody publishes weights for {source}; {PRETRAINED} is for torchvision:NAME and timm:NAME, "
            "others need a file"
        )
    try:
        return dict(published.load())
    except Exception as error:  # what a download can fail with
        raise UnskipError(f"the published weights cannot be had: {first_line(error)}") from error


def _translated(net: StagedNet, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under the names that they have in a network, where they come with those of the net that it was."""
    if net.original_names:
        own = {original: name for name, original in net.original_names.items()}
        return {own.get(name, name): tensor for name, tensor in tensors.items() if name not in net.unused_names}
    translate = find_net(net.spec.source).from_torchvision if net.spec else None
    return translate(tensors) if translate else dict(tensors)


def _load(net: StagedNet, tensors: Mapping[str, Tensor], path: Path) -> None:
    own = net.state_dict()
    missing = [name for name in own if name not in tensors and not name.endswith("num_batches_tracked")]
    extra = [name for name in tensors if name not in own]
    shapes = [
        f"{name}: {tuple(tensors[name].shape)} in the file, {tuple(own[name].shape)} in the net"
        for name in own
        if name in tensors and own[name].shape != tensors[name].shape
    ]
    if missing or extra or shapes:
        parts = [
            f"{len(names)} {what} ({', '.join(names[:3])}{', ..' if len(names) > 3 else ''})"
            for what, names in (("missing", missing), ("not in the net", extra), ("of another shape", shapes))
            if names
        ]
        source = net.spec.source if net.spec else "the network"
        raise UnskipError(f"{path} does not belong to {source}: {'; '.join(parts)}")
    net.load_state_dict(tensors, strict=False)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    _check_exists(path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            yield file
    except (safetensors.SafetensorError, OSError) as error:
        raise UnskipError(f"{path} is no safetensors file: {error}") from error


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118


def _read_header(path: Path) -> dict[str, str]:
    with _opened(path) as file:
        return dict(file.metadata() or {})


def _check_exists(path: Path) -> None:
    if not path.is_file():
        raise UnskipError(f"no file {path}")
