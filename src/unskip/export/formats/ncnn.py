"""ncnn: three files for phones, the operations in .ncnn.param, the weights in .ncnn.bin, the metadata in .ncnn.json."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import torch

from unskip.errors import UnskipError
from unskip.export.formats.base import Conversion, Format
from unskip.runtimes.ncnn import BATCH_SIZE, metadata_of, missing_operations, weights_of


class Ncnn(Format):
    """Converted by pnnx, in float32 throughout. A file knows no batches: its images are computed one after another.

    8 bits need ncnn's own tools for calibration, which its package for Python leaves out.
    """

    order = 4
    runtime_name = "ncnn"

    def files(self, path: Path) -> Sequence[Path]:
        """The weights, the metadata, and the operations that read the weights."""
        return [weights_of(path), metadata_of(path), path]

    def write(self, conversion: Conversion, path: Path) -> None:
        """See :meth:`Format.write`."""
        if importlib.util.find_spec("pnnx") is None:
            raise UnskipError("pnnx is not installed, which writes ncnn's files: pip install 'unskip[ncnn]'")
        facts = dict(conversion.facts)
        if conversion.batch_size is not None:
            facts[BATCH_SIZE] = str(conversion.batch_size)
        folder = path.parent / "pnnx"
        folder.mkdir()
        _convert(conversion, folder)
        shutil.move(folder / "net.ncnn.param", path)
        shutil.move(folder / "net.ncnn.bin", weights_of(path))
        metadata_of(path).write_text(json.dumps(facts), "utf-8")
        if missing := missing_operations(path):
            raise UnskipError(f"ncnn has no operation {' and no '.join(missing)}, which this network becomes")


def _convert(conversion: Conversion, folder: Path) -> None:
    """Let pnnx write into a folder, without shortening the weights to 16 bits, as it does by itself."""
    import pnnx

    image = torch.zeros(1, *conversion.input_shape)
    with torch.no_grad():
        torch.jit.trace(conversion.net, image, check_trace=False).save(folder / "net.pt")
    shape = "[{},{},{},{}]".format(*image.shape)
    command = [pnnx.EXEC_PATH, "net.pt", f"inputshape={shape}", "fp16=0"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode or not (folder / "net.ncnn.bin").is_file():
        messages = done.stderr.strip().splitlines() or ["it says nothing"]
        raise UnskipError(f"pnnx cannot convert this network ({messages[-1]})")
