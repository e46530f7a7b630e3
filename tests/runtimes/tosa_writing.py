"""Graphs of single operations, written as compilers write them, without the seconds that lowering a network takes."""

import numpy as np
import pytest

ts = pytest.importorskip("tosa_serializer")
INT8, INT16, INT32, BOOL = ts.DType.INT8, ts.DType.INT16, ts.DType.INT32, ts.DType.BOOL
NO_NAN = ts.NanPropagationMode.PROPAGATE
_TYPES = {np.dtype(np.int8): INT8, np.dtype(np.int16): INT16, np.dtype(np.int32): INT32}
_WORDS = {"ARGMAX": "ArgMax", "MATMUL": "MatMul"}


class GraphWriter:
    """A graph whose one input, ``self.input``, has 8 bits and this shape."""

    def __init__(self, shape):
        self._file = ts.TosaSerializer()
        self._file.addInputTensor(ts.TosaSerializerTensor("input", list(shape), INT8))
        self._tensors = {}
        self.input = "input"

    def constant(self, numbers, kind=np.int32):
        numbers = np.asarray(numbers, kind)
        return self._file.addConst(list(numbers.shape), _TYPES[numbers.dtype], numbers).name

    def sizes(self, *numbers):
        return self._file.addConst([len(numbers)], ts.DType.SHAPE, list(numbers)).name

    def add(self, name, inputs, shape, *attributes, kind=INT8):
        """An operation by its name; returns the name of what it gives."""
        about = ts.TosaSerializerAttribute()
        words = _WORDS.get(name) or "".join(word.capitalize() for word in name.split("_"))
        getattr(about, f"{words}Attribute")(*attributes)
        tensor = self._file.addIntermediate(list(shape), kind)
        self._file.addOperator(getattr(ts.Op, name), list(inputs), [tensor.name], about)
        self._tensors[tensor.name] = tensor
        return tensor.name

    def rescale(self, source, shape, multiplier, shift, zeros=(0, 0), kinds=(np.int32, np.int8), rounding=None):
        """By one scale, or by one for each place of the last dimension."""
        scales = self.constant(np.atleast_1d(multiplier)), self.constant(np.atleast_1d(shift), np.int8)
        ends = (self.constant([zero], kind) for zero, kind in zip(zeros, kinds, strict=True))
        rounding = rounding or ts.RoundingMode.SINGLE_ROUND
        about = (True, rounding, np.ndim(multiplier) > 0, False, False)
        return self.add("RESCALE", [source, *scales, *ends], shape, *about, kind=_TYPES[np.dtype(kinds[1])])

    def widened(self, source, shape):
        """The same numbers in 32 bits."""
        return self.rescale(source, shape, 1 << 30, 30, kinds=(np.int8, np.int32))

    def convolution(
        self, shape, weight, bias, zero, *, name="CONV2D", pad=(0, 0, 0, 0), stride=(1, 1), dilation=(1, 1)
    ):
        """The sums of the input; ``shape`` is theirs."""
        numbers = self.constant(weight, np.int8), self.constant(bias)
        zeros = self.constant([zero], np.int8), self.constant([0], np.int8)
        about = [list(pad), list(stride)] + ([] if name.startswith("TRANSPOSE") else [list(dilation)])
        return self.add(name, [self.input, *numbers, *zeros], shape, *about, False, INT32, kind=INT32)

    def written(self, *outputs):
        """The flatbuffer; by default what was added last is the output."""
        for name in outputs or list(self._tensors)[-1:]:
            self._file.addOutputTensor(self._tensors[name])
        return bytes(self._file.serialize())
