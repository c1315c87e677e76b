"""Counts of tokens: the same as of the padded rows, but each row by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from support.models import make_model

import pyrec_infer as pi

TEXTS = ["a red, red shoe", "", "shoe", "red shoe äh"]


def model(
    pool: tuple[str, ...] = ("red", "shoe", "red", "shoe"), columns: int = 2, grams: int = 2, **changes: Any
) -> pi.Model:
    cut = {"mark": 0, "mincharnum": 2, "pad_value": "#", "tokenexp": "[a-z]+", **changes}
    nodes = [
        helper.make_node("Tokenizer", ["text"], ["tokens"], domain="com.microsoft", **cut),
        helper.make_node("Flatten", ["tokens"], ["flat"]),
        helper.make_node(
            "TfIdfVectorizer",
            ["flat"],
            ["counts"],
            mode="TF",
            min_gram_length=1,
            max_gram_length=grams,
            max_skip_count=0,
            ngram_counts=[0, 2][:grams],
            ngram_indexes=[2, 1, 0] if grams == 2 else [0, 1],
            pool_strings=list(pool),
        ),
    ]
    inputs = {"text": (TensorProto.STRING, ["N"] if columns == 1 else ["N", columns - 1])}
    proto = make_model(
        nodes,
        inputs,
        {"counts": (TensorProto.FLOAT, ["N", grams + 1])},
        opset=20,
        domains={"com.microsoft": 1},
    )
    return pi.load(proto.SerializeToString())


@pytest.mark.parametrize("columns", [1, 2])
def test_rows_are_counted_by_themselves(columns: int) -> None:
    found = model(columns=columns)
    texts = np.asarray(TEXTS, object).reshape((-1,) if columns == 1 else (-1, 1))
    expected = [[1, 1, 2], [0, 0, 0], [0, 1, 0], [1, 1, 1]]
    assert found.run({"text": texts})["counts"].tolist() == expected
    assert not found.explain().as_dict()["coupled"]
    items = found.catalog({"text": texts}, ids=["a", "b", "c", "d"])
    assert items.score({}, ["c", "a"]).tolist() == [expected[2], expected[0]]


def test_single_words_are_counted_as_they_are_scored() -> None:
    found = model(("red", "shoe"), grams=1)
    texts = {"text": np.array([["a red, red shoe"], ["blue"], ["shoe"]])}
    expected = [[2, 1], [0, 0], [0, 1]]
    assert found.run(texts)["counts"].tolist() == found.score({}, texts).tolist() == expected


@pytest.mark.parametrize(
    "changes",
    [{"pool": ("red", "#", "red", "#")}, {"mark": 1}, {"columns": 3}],
    ids=["what fills up counts", "marked", "two texts a row"],
)
def test_what_depends_on_the_longest_row_is_left(changes: Any) -> None:
    found = model(**changes)
    assert found.explain().as_dict()["coupled"]
    assert "TokenCounts" not in str(found.explain())
