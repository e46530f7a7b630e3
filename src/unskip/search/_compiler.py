"""A process that asks a device's compiler about networks, one after the other.

``python -m unskip.search._compiler`` is told the user's own modules that are allowed, the device and the shape of an
image, then specs. It answers each spec with the estimate, or with the reason why there is none.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from unskip.errors import UnskipError, first_line
from unskip.export import estimate_untrained
from unskip.nets import NetSpec
from unskip.own_code import allow_module
from unskip.processes import answering, questions
from unskip.runtimes import Configuration


def _answers(messages: Iterator[Any]) -> Iterator[dict[str, Any]]:
    setting = next(messages)
    for module in setting["allowed"]:
        allow_module(module)
    device, shape = Configuration(**setting["device"]), tuple(setting["input_shape"])
    for spec in messages:
        try:
            estimate = estimate_untrained(NetSpec.from_json(spec), shape, device)
        except UnskipError as error:
            yield {"error": str(error)}
        except Exception as error:  # a disk that is full, a memory that is
            yield {"error": f"it cannot be compiled for {device.target}: {first_line(error)}"}
        else:
            yield {"estimate": estimate.model_dump(mode="json")}


if __name__ == "__main__":
    answering(_answers(questions(sys.stdin)))
