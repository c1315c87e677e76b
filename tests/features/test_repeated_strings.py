"""Columns whose strings repeat often, seldom or never: each row gets what it gets by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from onnx import TensorProto, helper
from support.models import make_model

import pyrec_infer as pi
from pyrec_infer.features import Field, Hash, Text

BUCKETS, ROWS = 1 << 20, 3000


@pytest.fixture(scope="module")
def loaded() -> pi.Model:
    """The bucket of a string, and of it in lower case, which is a string of the graph's own."""
    names = ("word", "lower")
    nodes = [helper.make_node("Cast", [name], [f"{name}/float"], to=TensorProto.FLOAT) for name in names]
    nodes.append(helper.make_node("Sub", [f"{name}/float" for name in names], ["score"]))
    inputs = dict.fromkeys(names, (TensorProto.INT64, ["N"]))
    graph = make_model(nodes, inputs, {"score": (TensorProto.FLOAT, ["N"])}).SerializeToString()
    fields = [
        Field("word", "item", to="word", missing="default", default="-", transforms=[Hash(BUCKETS)]),
        Field(
            "lower",
            "item",
            to="lower",
            missing="default",
            default="-",
            transforms=[Text("lower"), Hash(BUCKETS)],
        ),
    ]
    return pi.load(graph, schema=pi.Schema(fields))


def words_of(distinct: int, long: int) -> list[str]:
    """Empty ones, short ones, long ones and ones beyond ASCII, drawn with repetition."""
    generator = np.random.default_rng([distinct, long])
    letters = [chr(code) for code in (*range(65, 70), 0xE4, 0x20AC, 0x1F600)]
    pool = [
        "".join(generator.choice(letters, generator.integers(0, long))) + str(i)[: i % 7]
        for i in range(distinct)
    ]
    chosen = np.arange(ROWS) if distinct == ROWS else generator.integers(0, distinct, ROWS)
    return [pool[i] for i in chosen]


FORMS: dict[str, Callable[[list[str]], Any]] = {
    "list": list,
    "U": np.asarray,
    "string": lambda words: pa.array(words, pa.string()),
    "string_view": lambda words: pa.array(words, pa.string_view()),
    "chunks of views": lambda words: pa.chunked_array([words[:700], words[700:]], pa.string_view()),
    "slice of views": lambda words: pa.array(["", *words, "a"], pa.string_view())[1:-1],
    "dictionary": lambda words: pa.array(words).dictionary_encode(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("distinct", [1, 40, 700, ROWS])
def test_buckets_do_not_depend_on_what_repeats(loaded: pi.Model, distinct: int, form: str) -> None:
    words = words_of(distinct, 3 if distinct == 40 else 30)
    rows = {"word": FORMS[form](words), "lower": FORMS[form](words)}
    upper, lower = (pi.hash_to_bucket(each, buckets=BUCKETS) for each in (words, [w.lower() for w in words]))
    np.testing.assert_array_equal(loaded.score({}, rows), (upper - lower).astype(np.float32))


@pytest.mark.parametrize("distinct", [3, 700, ROWS])
def test_of_strings_that_are_no_utf8_the_first_is_named(loaded: pi.Model, distinct: int) -> None:
    words = [word.encode() for word in words_of(distinct, 20)]
    good = pa.array([word.decode() for word in words], pa.string_view())
    wrong = b"ab\xffcdefghijklmnopq"
    for row in (0, 5, 1801, ROWS - 1):
        # pyarrow makes no such views of strings.
        views = pa.array([*words[:row], wrong, *words[row + 1 :]], pa.binary_view())
        column = pa.Array.from_buffers(pa.string_view(), ROWS, views.buffers())
        with pytest.raises(pi.errors.DTypeError, match=rf"^field 'word': .*UTF-8 \(row {row}\)$"):
            loaded.score({}, {"word": column, "lower": good})


def test_strings_that_are_missing_among_repeated_ones(loaded: pi.Model) -> None:
    words = words_of(40, 20)
    holes: list[str | None] = [None if i % 3 == 0 else word for i, word in enumerate(words)]
    full = loaded.score({}, {"word": words, "lower": words})
    for form in ("list", "string", "string_view", "chunks of views", "dictionary"):
        made: Any = FORMS[form](holes)  # type: ignore[arg-type]
        found = loaded.score({}, {"word": made, "lower": made})
        one = loaded.score({}, {"word": ["-"], "lower": ["-"]})
        np.testing.assert_array_equal(found, np.where(np.arange(ROWS) % 3 == 0, one, full))
