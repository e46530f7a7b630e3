"""The integers of a TOSA graph, for many images at once: what Arm's reference model computes, bit for bit, in torch."""

from unskip.runtimes._tosa.interpreter import Interpreter
from unskip.runtimes._tosa.lowering import UnknownOperationError

__all__ = ["Interpreter", "UnknownOperationError"]
