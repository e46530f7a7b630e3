"""Networks as files: safetensors with the net's spec and what it was trained on in the header. Nothing is unpickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from unskip.data_info import DataInfo
from unskip.errors import UnskipError, first_line
from unskip.files import parse_json, write_bytes
from unskip.nets import NetSpec, StagedNet, find_net
from unskip.recognition import Recognition, recognise
from unskip.state_dicts import best_fitting, read_torch_file
from unskip.surgery import build

# In the place of a file: the weights that come with a network of another package.
PRETRAINED = "pretrained"


def save_net(net: StagedNet, path: str | Path, info: DataInfo) -> None:
    """Write weights, spec and ``info`` into one safetensors file, whole or not at all.

    Raises `UnskipError` for a network without a spec, since nothing could be built from the file.
    """
    _check_staged(net)
    if net.spec is None:
        raise UnskipError(
            "only a network that `unskip.make_net` made, or an edit of one, can be saved with its spec; make yours by "
            "its name, PACKAGE.MODULE:FACTORY"
        )
    # One entry, since safetensors orders several at random and equal nets shall be equal files.
    header = {"unskip": json.dumps({"net": json.dumps(net.spec.to_json()), **info.to_json()})}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    write_bytes(Path(path), safetensors.torch.save(tensors, metadata=header))


def load_net(path: str | Path) -> tuple[StagedNet, DataInfo]:
    """The network that :func:`save_net` wrote, in eval mode.

    `UnskipError` for any other file, and where the file names a module of the user's own that nobody allowed
    (:func:`unskip.allow_module`).
    """
    path = Path(path)
    tensors, facts = _read_safetensors(path)
    if facts is None:
        raise UnskipError(f"{path} has no net spec in its header; give it as teacher.weights with teacher.net instead")
    spec, info = described_net(facts, f"the header of {path}"), DataInfo.from_json(facts, path)
    if ":" not in spec.source:
        with torch.device("meta"):  # a header may say any size; only what the file really holds gets memory
            _check_same_tensors(build(spec, seed=0), tensors, path)
    net = build(spec, seed=0)
    _load(net, tensors, path)
    return net.eval(), info


def described_net(facts: Any, where: str) -> NetSpec:
    """The spec under ``net`` in what a file says of itself; `UnskipError` that begins with ``where`` for no spec."""
    if not isinstance(facts, Mapping) or not isinstance(facts.get("net"), str):
        raise UnskipError(f"{where} does not say which network it is: expected a JSON text under 'net'")
    try:
        return NetSpec.from_json(parse_json(facts["net"], where))
    except UnskipError as error:
        raise UnskipError(f"{where} is damaged: {error}") from error


def read_data_info(path: Path) -> DataInfo | None:
    """What the network in a file that :func:`save_net` wrote expects; None for files of other origin."""
    facts = _read_safetensors(path, tensors=False)[1] if path.suffix == ".safetensors" else None
    return None if facts is None else DataInfo.from_json(facts, path)


def load_weights(net: StagedNet, path: Path) -> None:
    """Load weights into a network in place: safetensors, or a torchvision or PyTorch state dict (.pth, .pt).

    A state dict is read with ``weights_only=True``, wherever in a checkpoint it lies and whatever its names begin with;
    the names of torchvision, or of the network that was parsed, are translated. The path `PRETRAINED` stands for the
    weights that torchvision or timm publish. Raises `UnskipError` that lists the keys and shapes that differ when the
    file belongs to another network, with the one that it looks like, and names a tensor of integers, of NaN or of
    infinities.
    """
    _check_staged(net)
    content = _content(net, path)
    _load(net, _fitting(net, content, path), path, content)


def load_initial_weights(net: StagedNet, path: Path) -> None:
    """Load weights to go on training from, as :func:`load_weights` does, but for a last layer of other classes.

    The last layer of the network keeps its own, fresh weights where the file's have another shape.
    """
    content, own = _content(net, path), net.state_dict()
    tensors = _fitting(net, content, path)
    for name in _last_layer(net):
        if name in tensors and name in own and tensors[name].shape != own[name].shape:
            tensors[name] = own[name]
    _load(net, tensors, path, content)


def recognise_file(path: Path) -> Recognition | None:
    """The known network that the tensors in a file belong to, or are most like; see `unskip.recognition.recognise`.

    The file is read as :func:`load_weights` reads it, and refused as there.
    """
    return recognise(_file_content(path))


def has_spec(path: Path) -> bool:
    """Whether a file says itself which network it holds, as those that :func:`save_net` wrote do."""
    return path.suffix == ".safetensors" and _read_safetensors(path, tensors=False)[1] is not None


def _last_layer(net: StagedNet) -> tuple[str, str]:
    """The names of its weight and its bias."""
    last = [name for name, module in net.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
    return f"{last}.weight", f"{last}.bias"


def _check_staged(net: nn.Module) -> None:
    if not isinstance(net, StagedNet):
        raise UnskipError(
            f"expected a StagedNet, not a {type(net).__name__}: parse it first, net = `unskip.parse(model, images)`; "
            "the parsed net has copies of the weights"
        )


def _content(net: StagedNet, path: Path) -> Any:
    return _published(net) if str(path) == PRETRAINED else _file_content(path)


def _file_content(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return _read_safetensors(path)[0]
    _check_exists(path)
    return read_torch_file(path)


def _fitting(net: StagedNet, content: Any, path: Path) -> dict[str, Tensor]:
    """The tensors of a network in what a file holds, under the names that the network has for them."""
    if str(path) == PRETRAINED:
        return _translated(net, content)
    shapes = {name: tensor.shape for name, tensor in net.state_dict().items()}

    def fitting(tensors: Mapping[str, Tensor]) -> int:
        """Tensors of a name that the network has, those of its shape too counted twice."""
        named = [(name, tensor) for name, tensor in _translated(net, tensors).items() if name in shapes]
        return len(named) + sum(shapes[name] == tensor.shape for name, tensor in named)

    return _translated(net, best_fitting(content, fitting, path).tensors)


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


def _load(net: StagedNet, tensors: Mapping[str, Tensor], path: Path, content: Any = None) -> None:
    _check_same_tensors(net, tensors, path, content)
    for name, own in net.state_dict().items():
        if name in tensors:
            _check_values(name, tensors[name], own, path)
    net.load_state_dict(tensors, strict=False)


def _check_same_tensors(net: StagedNet, tensors: Mapping[str, Tensor], path: Path, content: Any = None) -> None:
    """Raise `UnskipError` where a network and a file differ; ``content``, all that is in it, may say whose it is."""
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
        if not missing and not extra and (classes := _other_classes(net, tensors)):
            raise UnskipError(f"{path} does not belong to {source} here: {classes} ({'; '.join(parts)})")
        whose = "" if content is None else _looks_like(net, content)
        raise UnskipError(f"{path} does not belong to {source}{whose}: {'; '.join(parts)}")


def _other_classes(net: StagedNet, tensors: Mapping[str, Tensor]) -> str:
    """What to do where a file and a network differ in the number of classes alone."""
    own, (weight, bias) = net.state_dict(), _last_layer(net)
    differing = {name for name in own if name in tensors and own[name].shape != tensors[name].shape}
    if not differing <= {weight, bias} or own[weight].shape[1:] != tensors[weight].shape[1:]:
        return ""
    return (
        f"the file tells {len(tensors[weight]):,} classes apart, the network {len(own[weight]):,}. To train it for "
        "these, name the network and give the file as `teacher.initial_weights`, which takes all layers but the last"
    )


def _looks_like(net: StagedNet, content: Any) -> str:
    """The network that a file looks like, where that is known and another one."""
    recognition = recognise(content)
    if recognition is None or (
        net.spec is not None and net.spec.source == recognition.source and not recognition.options
    ):
        return ""
    if net.spec is not None and net.spec.source == recognition.source and recognition.fits:
        given = ", ".join(f"{name} {value}" for name, value in net.spec.options.items())
        return f"{f' ({given})' if given else ''}, but to {recognition}"
    how = (
        "looks like" if recognition.fits else f"looks, by {recognition.fitting} of {recognition.of} tensors, most like"
    )
    return f", but {how} {recognition}"


def _check_values(name: str, tensor: Tensor, own: Tensor, path: Path) -> None:
    """Raise `UnskipError` for what cannot be a network's weights: integers, complex numbers, NaN and infinities."""
    is_float = own.is_floating_point()
    if tensor.layout is not torch.strided or tensor.is_meta or tensor.is_quantized or tensor.is_complex():
        kind = "without values" if tensor.is_meta else f"{tensor.dtype}, {tensor.layout}"
    elif is_float and not tensor.is_floating_point():
        kind = str(tensor.dtype)
    elif is_float and not tensor.to(own.dtype).isfinite().all() and (own.is_meta or own.isfinite().all()):
        raise UnskipError(f"{path}: {name} holds NaN or infinity; the training that wrote it diverged")
    else:
        return
    raise UnskipError(f"{path}: {name} is {kind.replace('torch.', '')}; expected dense floating-point numbers")


def _read_safetensors(path: Path, *, tensors: bool = True) -> tuple[dict[str, Tensor], Any]:
    """All ``tensors``, or none, and what `save_net` says in the header, None in files of other origin."""
    _check_exists(path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            loaded = {name: file.get_tensor(name) for name in (file.keys() if tensors else ())}
            header = file.metadata() or {}
    except (safetensors.SafetensorError, OSError) as error:
        raise UnskipError(f"{path} is no safetensors file: {error}") from error
    facts = parse_json(header["unskip"], f"the header of {path}") or {} if "unskip" in header else None
    return loaded, facts


def _check_exists(path: Path) -> None:
    if path.is_dir():
        raise UnskipError(f"{path} is a folder; expected a file with weights")
    if not path.is_file():
        raise UnskipError(f"no file {path}")
