"""Lists beside rows in files that name no batch: bags tell which first axes are no rows."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from support.bag_models import SPELLINGS, WEIGHTS, expected, ragged, with_input

import pyrec_infer as pi
from pyrec_infer.errors import PyrecError, RowCountError
from pyrec_infer.formats.onnx.batch import find_batch

Array = NDArray[Any]
NAMES = (
    "scripted-mean-first",
    "scripted-max-last",
    "sequenced-sum-first",
    "sequenced-mean-last",
    "padded-sum-last",
    "ended-mean-first",
    "scripted-weighted",
    "sequenced-weighted",
    "lengths-repeated",
    "lengths-exclusive",
    "padded-mean-lengths",
    "pairs-ScatterND",
    "pairs-ScatterElements-max",
)


def without_batch(model: bytes, distinct: bool) -> bytes:
    """The model with open first axes that have no names, or names that no other axis has."""
    proto = onnx.ModelProto.FromString(model)
    for value in (*proto.graph.input, *proto.graph.output):
        dim = value.type.tensor_type.shape.dim[0]
        assert dim.dim_param
        dim.dim_param = f"{value.name}_length" if distinct else ""
    return proto.SerializeToString()


@cache
def model(name: str, distinct: bool) -> pi.Model:
    return pi.load(without_batch(SPELLINGS[name](), distinct))


def dense(rows: int) -> Array:
    return np.random.default_rng(3).normal(size=(rows, 5)).astype(np.float32)


def close(found: Array, wanted: Array) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "distinct"), [(name, i % 2 > 0) for i, name in enumerate(NAMES)])
def test_bags_are_rows_whatever_the_axes_are_called(name: str, distinct: bool) -> None:
    loaded, x = model(name, distinct), dense(4)
    lengths = np.asarray([2, 1, 3, 1])
    given = ragged(name, lengths)
    wanted = expected(name, given, lengths, x)
    close(loaded.run({**given, "x": x})["y"], wanted)
    close(loaded.score(given, {"x": x}, offsets=[0, 1, 2, 3, 4]), wanted)
    one = ragged(name, lengths[:1])
    alone = expected(name, one, lengths[:1], np.zeros((1, 5), np.float32)) + x @ WEIGHTS[4:, 0]
    close(loaded.score(one, {"x": x}), alone)
    close(loaded.catalog({"x": x}).score(one), alone)


def test_a_call_with_another_number_of_bags_is_refused() -> None:
    for name, distinct in (("scripted-mean-first", False), ("sequenced-mean-last", True)):
        with pytest.raises(RowCountError):
            model(name, distinct).run({**ragged(name, np.asarray([2, 1, 2])), "x": dense(4)})


@pytest.mark.parametrize(
    ("name", "change"),
    [("scripted-sum-first", ("b1", 0, "i")), ("pairs-ScatterND-max", ("put", 1, "ids_column"))],
)
def test_what_only_looks_like_bags_has_rows(name: str, change: tuple[str, int, str]) -> None:
    loaded = pi.load(without_batch(with_input(SPELLINGS[name](), *change), False))
    assert len({item.shape[0] for item in loaded.inputs}) == 1
    with pytest.raises(PyrecError):
        loaded.score(ragged(name, np.asarray([3])), {"x": dense(2)})


def test_an_axis_that_the_outputs_name_stays_the_batch() -> None:
    proto = onnx.ModelProto.FromString(SPELLINGS["scripted-sum-first"]())
    presumed = {
        name: find_batch({"offsets": [size], "x": ["B", 5]}, {"y": ["B"]}).presumed
        for name, size in (("named", "B"), ("other", "K"), ("open", None))
    }
    assert presumed == {"named": {}, "other": {}, "open": {"offsets": "offsets:0"}}
    assert pi.load(proto.SerializeToString()).inputs[1].shape == ("N",)
