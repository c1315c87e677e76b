"""Raw rows of strings in front of a small ranker, beside NumPy as a user would write it and onnxruntime.

``python -m benchmarks.raw_rows`` compares the answers, then takes turns on one thread and prints a table.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import pyrec_infer as pi
from benchmarks.turns import take_turns
from pyrec_infer.features import Field, ListField, Vocabulary

USERS, ITEMS, HISTORY, WIDTH = 16, 10, 50, 16
USER_WORDS, ITEM_WORDS = 1000, 5000
NAMES = [f"user_{i}" for i in range(USERS)], [f"item_{i}" for i in range(ITEMS)]

Scores = NDArray[np.float32]


def words(name: str, count: int) -> list[str]:
    """Values of a field; its table has a row for all others in front."""
    return [f"{name}_value_{i}" for i in range(count - 1)]


def vocabularies() -> dict[str, list[str]]:
    return {
        **{name: words(name, USER_WORDS) for name in NAMES[0]},
        **{name: words(name, ITEM_WORDS) for name in NAMES[1]},
        "history": words("item_0", ITEM_WORDS),
    }


def _shape(name: str) -> list[str | int]:
    return ["N", HISTORY] if name == "history" else ["N"]


def ranker(raw: bool) -> bytes:
    """Tables, the history's sum and three dense layers; with the string operators in front if ``raw``."""
    random = np.random.default_rng(0)
    nodes, stored, inputs, parts = [], [], [], []
    for name, known in vocabularies().items():
        kind = TensorProto.STRING if raw else TensorProto.INT64
        inputs.append(helper.make_tensor_value_info(name, kind, _shape(name)))
        rows = random.normal(size=(len(known) + 1, WIDTH)).astype(np.float32)
        stored.append(numpy_helper.from_array(rows, f"{name}/table"))
        ids = name
        if raw:
            ids = f"{name}/ids"
            places = list(range(1, len(known) + 1))
            nodes.append(
                helper.make_node(
                    "LabelEncoder",
                    [name],
                    [ids],
                    domain="ai.onnx.ml",
                    keys_strings=known,
                    values_int64s=places,
                    default_int64=0,
                )
            )
        nodes.append(helper.make_node("Gather", [f"{name}/table", ids], [f"{name}/rows"]))
        parts.append(f"{name}/rows")
    stored.append(numpy_helper.from_array(np.asarray([1]), "axis"))
    nodes.append(helper.make_node("ReduceSum", ["history/rows", "axis"], ["history/sum"], keepdims=0))
    nodes.append(helper.make_node("Concat", [*parts[:-1], "history/sum"], ["layer0"], axis=1))
    sizes = [WIDTH * len(parts), 128, 64, 1]
    for k, (rows_in, rows_out) in enumerate(pairwise(sizes)):
        weights = random.normal(size=(rows_in, rows_out)) / np.sqrt(rows_in)
        stored.append(numpy_helper.from_array(weights.astype(np.float32), f"weights{k}"))
        nodes.append(helper.make_node("MatMul", [f"layer{k}", f"weights{k}"], [f"sum{k}"]))
        made = f"layer{k + 1}" if k < 2 else "score"
        nodes.append(helper.make_node("Relu" if k < 2 else "Sigmoid", [f"sum{k}"], [made]))
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N", 1])
    graph = helper.make_graph(nodes, "ranker", inputs, [score], stored)
    versions = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 2)]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=versions, ir_version=8)
    return bytes(model.SerializeToString())


def schema() -> pi.Schema:
    known = vocabularies()
    fields: list[Field] = [
        Field(name, "request", to=name, transforms=[Vocabulary(known[name])]) for name in NAMES[0]
    ]
    fields += [Field(name, "item", to=name, transforms=[Vocabulary(known[name])]) for name in NAMES[1]]
    history = Vocabulary(known["history"])
    fields.append(ListField("history", "request", to="history", transforms=[history], length=HISTORY))
    made = Rows.make(32)
    table = {**made.items, **{name: [value] * 32 for name, value in made.request.items()}}
    return pi.record_golden(pi.Schema(fields), table, ranker(False))


@dataclass(frozen=True, eq=False)
class Rows:
    """One request and its candidates as a service has them."""

    request: dict[str, Any]
    items: dict[str, list[str]]

    @staticmethod
    def make(count: int) -> Rows:
        """Some values are in no vocabulary."""
        random = np.random.default_rng(1)

        def some(name: str, most: int, many: int) -> list[str]:
            return [f"{name}_value_{number}" for number in random.integers(0, most, many).tolist()]

        request: dict[str, Any] = {name: some(name, 2 * USER_WORDS, 1)[0] for name in NAMES[0]}
        request["history"] = some("item_0", ITEM_WORDS, HISTORY)
        return Rows(request, {name: some(name, ITEM_WORDS, count) for name in NAMES[1]})


def by_hand() -> Callable[[dict[str, Any]], dict[str, NDArray[np.int64]]]:
    """A request's ids with dictionaries and NumPy."""
    places = {
        name: {word: i for i, word in enumerate(known, 1)}
        for name, known in vocabularies().items()
        if name not in NAMES[1]
    }

    def encode(request: dict[str, Any]) -> dict[str, NDArray[np.int64]]:
        made = {name: np.array([places[name].get(request[name], 0)]) for name in NAMES[0]}
        history = [places["history"].get(item, 0) for item in request["history"][:HISTORY]]
        made["history"] = np.array([history + [0] * (HISTORY - len(history))])
        return made

    return encode


def item_transforms(catalog: pi.Catalog) -> int:
    """Steps of a request's score that read strings beside each item."""
    steps = [line for line in str(catalog.explain()).splitlines() if "LabelEncoder" in line]
    return sum("item_" in line for line in steps)


def onnxruntime_scores(rows: Rows) -> Callable[[], Scores]:
    """All candidates with the request repeated, strings and all."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(ranker(True), options, providers=["CPUExecutionProvider"])

    def run() -> Scores:
        count = len(rows.items[NAMES[1][0]])
        feeds = {name: np.full(count, rows.request[name], object) for name in NAMES[0]}
        feeds["history"] = np.tile(np.asarray(rows.request["history"], object), (count, 1))
        feeds.update({name: np.asarray(values, object) for name, values in rows.items.items()})
        made: Scores = session.run(None, feeds)[0]
        return made[:, 0]

    return run


def check(contestants: Sequence[Callable[[], Scores]]) -> None:
    first, *others = (run() for run in contestants)
    for other in others:
        np.testing.assert_allclose(other, first, rtol=2e-5, atol=1e-6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--rows", type=int, default=1000)
    options = parser.parse_args()
    import pyarrow as pa

    rows = Rows.make(options.rows)
    ids = np.arange(options.rows)
    raw, plain = pi.load(ranker(False), schema=schema()), pi.load(ranker(False))
    catalog, encode = raw.catalog(rows.items), by_hand()
    places = {name: {word: i for i, word in enumerate(words(name, ITEM_WORDS), 1)} for name in rows.items}
    codes = {
        name: np.array([places[name].get(value, 0) for value in values])
        for name, values in rows.items.items()
    }
    encoded = plain.catalog(codes)
    request = encode(rows.request)
    table = pa.table(rows.items)
    runs: dict[str, Callable[[], Any]] = {
        "catalogue, a raw dict": partial(catalog.score, rows.request, ids),
        "catalogue, tensors made beforehand": partial(encoded.score, request, ids),
        "catalogue, NumPy by hand": lambda: encoded.score(encode(rows.request), ids),
        "raw rows of an Arrow table": partial(raw.score, rows.request, table),
        "the same, tensors made beforehand": partial(plain.score, request, codes),
        "onnxruntime, strings in the graph": onnxruntime_scores(rows),
    }
    check(list(runs.values()))
    slow = runs.pop("onnxruntime, strings in the graph")
    times = take_turns(runs, options.turns)
    times["onnxruntime, strings in the graph"] = take_turns({"": slow}, max(3, options.turns // 40))[""]
    for name, seconds in times.items():
        print(f"{name:40} {seconds * 1e6:10.1f} us")
    taken = list(times.values())
    each = (taken[3] - taken[4]) / (options.rows * ITEMS)
    print(f"feature work of a request: {(taken[0] - taken[1]) * 1e6:.1f} us, by hand ", end="")
    print(f"{(taken[2] - taken[1]) * 1e6:.1f} us; of a field and row: {each * 1e6:.3f} us")
    print(f"item transforms in a request over the catalogue: {item_transforms(catalog)}")


if __name__ == "__main__":
    main()
