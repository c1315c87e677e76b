"""Memory that rows are read from."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper
from support.models import FLOAT, INT64, make_model

from pyrec_infer.formats import import_model
from pyrec_infer.memory import allocate, settled


@pytest.mark.parametrize("size", [0, 1, 64, 1000, (1 << 21) - 1, (1 << 21) + 5])
def test_memory_begins_with_a_cache_line(size: int) -> None:
    memory = allocate(size)
    assert memory.size == size
    # NumPy does not move the address of an array without elements.
    assert size == 0 or memory.ctypes.data % 64 == 0
    memory[...] = 7


def test_a_settled_copy_is_the_same_and_read_only() -> None:
    values = np.arange(10, dtype=np.float32)[1:]
    copy = settled(values)
    np.testing.assert_array_equal(copy, values)
    assert copy.dtype == values.dtype
    assert not copy.flags.writeable


def test_tables_of_a_model_begin_with_a_cache_line() -> None:
    table = np.arange(48, dtype=np.float32).reshape(3, 16)
    node = helper.make_node("Gather", ["table", "i"], ["y"])
    proto = make_model([node], {"i": (INT64, ["N"])}, {"y": (FLOAT, ["N", 16])}, {"table": table})
    found = import_model(proto.SerializeToString()).graph.constants["table"]
    np.testing.assert_array_equal(found, table)
    assert found.ctypes.data % 64 == 0
