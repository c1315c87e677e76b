"""Sparse constants, which become dense ones."""

from __future__ import annotations

import math

import numpy as np
import onnx

from pyrec_infer.errors import ModelError, UnsupportedModelError
from pyrec_infer.formats.onnx.files import tensor_array
from pyrec_infer.formats.onnx.narrow import NARROW
from pyrec_infer.formats.reading import ExternalFiles
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import Array
from pyrec_infer.limits import MAX_RANK, require_room


def sparse_array(tensor: onnx.SparseTensorProto, files: ExternalFiles | None) -> Array:
    """The value of a sparse tensor with zeros where it has nothing, after checking its places.

    Raises
    ------
    ModelError
        If its places are outside its shape, not in rising order, or not as many as its values.
    UnsupportedModelError
        If its values are strings, or of a type that arrays of NumPy do not have.
    ResourceLimitError
        If there is no room for the dense value, which may be far larger than the file.
    """
    where = f"initialiser {tensor.values.name!r}"
    if tensor.values.data_type in (*NARROW, onnx.TensorProto.STRING):
        raise UnsupportedModelError(f"{where}: sparse values of its element type are not supported")
    values, places = tensor_array(tensor.values, files), tensor_array(tensor.indices, files)
    shape = tuple(tensor.dims)
    if not 0 < len(shape) <= MAX_RANK or any(size < 0 for size in shape):
        raise ModelError(f"{where}: expected 1 to {MAX_RANK} sizes of at least 0, got shape {list(shape)}")
    count = math.prod(shape)
    require_room(count * values.dtype.itemsize)
    forms = [values.shape, (*values.shape, len(shape))]
    if values.ndim != 1 or places.dtype != np.int64 or places.shape not in forms:
        raise ModelError(f"{where}: expected a place for each value, got shape {list(places.shape)}")
    sizes = shape if places.ndim == 2 else (count,)
    if any(
        np.any((own < 0) | (own >= size)) for own, size in zip(np.atleast_2d(places.T), sizes, strict=True)
    ):
        raise ModelError(f"{where}: expected places within shape {list(shape)}")
    try:
        dense = np.zeros(shape, values.dtype)
    except ValueError as error:
        let_interrupts_pass(error)
        raise ModelError(f"{where}: no tensor can have shape {list(shape)}") from None
    if not len(values):
        return dense
    flat = np.ravel_multi_index(tuple(places.T), shape) if places.ndim == 2 else places
    if np.any(np.diff(flat) <= 0):
        raise ModelError(f"{where}: expected places in rising order")
    dense.reshape(-1)[flat] = values
    return dense
