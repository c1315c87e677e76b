"""Operators of other domains as plain ones, and graphs without any."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import F32, XZ, graph_of, ops

from pyrec_infer.ir import Node
from pyrec_infer.passes.load.expand_composites import expand_composites

pytestmark = pytest.mark.once


def test_expand_composites() -> None:
    gelu = Node("com.microsoft.BiasGelu", ("x", "bias"), ("y",))
    found = expand_composites(graph_of([gelu], {"bias": np.ones(4, F32)}, **XZ))
    assert "Erf" in ops(found)
    assert all("." not in op for op in ops(found))
    plain = graph_of([Node("Erf", ("x",), ("y",))], **XZ)
    assert expand_composites(plain) is plain
