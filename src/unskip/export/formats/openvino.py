"""OpenVINO: an .xml file with the operations and a .bin file with the weights beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from unskip.export.formats.base import Conversion, Format
from unskip.export.formats.onnx import onnx_model, save
from unskip.runtimes.openvino import METADATA, library


class OpenVino(Format):
    """Made from the ONNX model, in float32 throughout."""

    order = 2
    runtime_name = "openvino"

    def files(self, path: Path) -> Sequence[Path]:
        """The weights and the operations that read them."""
        return [path.with_suffix(".bin"), path]

    def write(self, conversion: Conversion, path: Path) -> None:
        """See :meth:`Format.write`."""
        openvino = library()
        source = path.with_suffix(".onnx")
        save(onnx_model(conversion), source)
        model = openvino.convert_model(source)
        model.set_rt_info(json.dumps(dict(conversion.facts)), METADATA)
        openvino.save_model(model, path, compress_to_fp16=False)
