"""Calls of a model with an input for each feature, in the forms in which services have their values.

``python -m benchmarks.many_inputs`` compares every answer with onnxruntime's, then prints medians of calls
in turns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import pyrec_infer as pi
from benchmarks.turns import take_turns

USER_IDS, ITEM_IDS, USER_NUMBERS, ITEM_NUMBERS = 16, 10, 8, 5
ROWS, WIDTH, LAYERS = 1000, 16, (128, 64, 1)
TURNS = 2000
Columns = dict[str, NDArray[Any]]


def names(side: str) -> list[str]:
    """The inputs of a side: ids, then numbers."""
    ids, numbers = (USER_IDS, USER_NUMBERS) if side == "user" else (ITEM_IDS, ITEM_NUMBERS)
    return [*(f"{side}_id_{i}" for i in range(ids)), *(f"{side}_number_{i}" for i in range(numbers))]


def model_bytes() -> bytes:
    """Embeddings of all ids and all numbers side by side, a ReLU after each layer but the last, a sigmoid."""
    random = np.random.default_rng(0)
    nodes, constants, inputs, parts = [], {"last": np.asarray([1])}, [], []
    for name in (*names("user"), *names("item")):
        whole = "_id_" in name
        kind = TensorProto.INT64 if whole else TensorProto.FLOAT
        inputs.append(helper.make_tensor_value_info(name, kind, ["N"]))
        part = f"{name}/part"
        if whole:
            constants[f"{name}/table"] = random.normal(size=(ROWS, WIDTH)).astype(np.float32)
            nodes.append(helper.make_node("Gather", [f"{name}/table", name], [part]))
        else:
            nodes.append(helper.make_node("Unsqueeze", [name, "last"], [part]))
        parts.append(part)
    nodes.append(helper.make_node("Concat", parts, ["layer 0"], axis=1))
    size = (USER_IDS + ITEM_IDS) * WIDTH + USER_NUMBERS + ITEM_NUMBERS
    for number, width in enumerate(LAYERS):
        weights = random.normal(size=(size, width)) / np.sqrt(size)
        constants[f"weights {number}"] = weights.astype(np.float32)
        constants[f"bias {number}"] = random.normal(size=width).astype(np.float32)
        given = [f"layer {number}", f"weights {number}", f"bias {number}"]
        nodes.append(helper.make_node("Gemm", given, [f"sum {number}"]))
        after, made = ("Relu", f"layer {number + 1}") if width > 1 else ("Sigmoid", "score")
        nodes.append(helper.make_node(after, [f"sum {number}"], [made]))
        size = width
    output = helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N", 1])
    stored = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "many", inputs, [output], stored)
    opsets = [helper.make_opsetid("", 17)]
    made_model: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    onnx.checker.check_model(made_model)
    return made_model


def columns(side: str, count: int) -> Columns:
    random = np.random.default_rng(count)
    return {
        name: random.integers(0, ROWS, count) if "_id_" in name else random.random(count, np.float32)
        for name in names(side)
    }


def forms(count: int) -> tuple[dict[str, Callable[[], Any]], NDArray[np.float32]]:
    """Every form of the same call by name, onnxruntime last where it is installed; and its scores.

    Raises
    ------
    AssertionError
        If an answer is not onnxruntime's.
    """
    source = model_bytes()
    model = pi.load(source)
    user, items = columns("user", 1), columns("item", count)
    plain = {name: value[0].item() for name, value in user.items()}
    call, shop = model.prepare([*user], [*items]), model.catalog(items)
    arrays = [*user.values(), *items.values()]
    runs: dict[str, Callable[[], Any]] = {
        "prepared": lambda: call(*arrays),
        "score, arrays": lambda: model.score(user, items),
        "score, plain numbers": lambda: model.score(plain, items),
        "top_k, arrays": lambda: model.top_k(user, items, k=count),
        "top_k, plain numbers": lambda: model.top_k(plain, items, k=count),
        "catalogue's score": lambda: shop.score(plain),
        "catalogue's top_k": lambda: shop.top_k(plain, k=count),
    }
    scores: NDArray[np.float32] = runs["prepared"]()
    for name, run in runs.items():
        found = run()
        if isinstance(found, pi.TopK):
            order = np.argsort(-scores, kind="stable")
            np.testing.assert_allclose(found.scores, scores[order], rtol=1e-4, err_msg=name)
        else:
            np.testing.assert_allclose(found, scores, rtol=1e-4, err_msg=name)
    peer = onnxruntime_call(source, user, items)
    if peer is not None:
        np.testing.assert_allclose(scores, peer()[0].reshape(-1), rtol=1e-4)
        runs["onnxruntime"] = peer
    return runs, scores


def ruled(count: int) -> dict[str, Callable[[], Any]]:
    """Calls for the best ten of so many candidates, with ids and rules as services give them.

    Raises
    ------
    AssertionError
        If one does not find what scoring all and choosing finds.
    """
    model, random = pi.load(model_bytes()), np.random.default_rng(1)
    user, users, items = columns("user", 1), columns("user", 8), columns("item", max(count, 1000))
    plain = {name: value[0].item() for name, value in user.items()}
    few = {name: value[:count] for name, value in items.items()}
    seen = random.choice(count, min(count, 20) // 2, replace=False)
    names = [f"item {i}" for i in range(len(items["item_id_0"]))]
    part = np.arange(len(names)) < count
    small, shop = model.catalog(few), model.catalog(items, attributes={"part": part})
    texts, where, ids = model.catalog(items, names), shop.where("part", True), np.arange(count)
    boost = random.random(count).astype(np.float32)
    runs: dict[str, Callable[[], Any]] = {
        "top_k, half excluded": lambda: model.top_k(plain, few, k=10, exclude=seen),
        "top_k, boosts": lambda: model.top_k(plain, few, k=10, boost=boost),
        "catalogue of these": lambda: small.top_k(plain, k=10),
        "half excluded": lambda: small.top_k(plain, k=10, exclude=seen),
        "their ids": lambda: shop.top_k(plain, k=10, ids=ids),
        "ids in a list": lambda: shop.top_k(plain, k=10, ids=ids.tolist()),
        "ids that are strings": lambda: texts.top_k(plain, k=10, ids=names[:count]),
        "ids, half excluded": lambda: shop.top_k(plain, k=10, ids=ids, exclude=seen),
        "a prepared filter": lambda: shop.top_k(plain, k=10, where=where),
        "filter, half excluded": lambda: shop.top_k(plain, k=10, where=where, exclude=seen),
        "8 requests, filter": lambda: shop.top_k(users, k=10, where=where),
        "8 requests, lists": lambda: shop.top_k(users, k=10, ids=[ids] * 8),
    }
    scores = shop.score(plain, ids)
    for name, run in runs.items():
        found = run()
        own = {key: value[:1] for key, value in users.items()} if "8" in name else plain
        worth = shop.score(own, ids) + (boost if "boost" in name else 0 * scores)
        if "half" in name:
            worth[seen] = -np.inf
        best = np.sort(worth[worth > -np.inf])[::-1][:10]
        np.testing.assert_allclose(found.scores[0] if "8" in name else found.scores, best, rtol=1e-4)
    return runs


def onnxruntime_call(source: bytes, user: Columns, items: Columns) -> Callable[[], Any] | None:
    """The same work in onnxruntime, whose inputs are repeated beforehand; None where it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    count = len(next(iter(items.values())))
    batch = {**{name: np.repeat(value, count) for name, value in user.items()}, **items}
    return lambda: session.run(None, batch)


def table(found: Mapping[int, Mapping[str, float]]) -> str:
    """Microseconds by form and number of candidates."""
    counts = [*found]
    lines = ["| |" + "".join(f" N = {count} |" for count in counts), "|---|" + "---|" * len(counts)]
    for name in found[counts[0]]:
        lines.append(f"| {name} |" + "".join(f" {1e6 * found[count][name]:.1f} |" for count in counts))
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    found = {}
    for count in (1, 10, 100):
        runs, _ = forms(count)
        take_turns(runs, TURNS // 10)
        found[count] = take_turns(runs, TURNS)
    print(table(found))
    rules = {}
    for count in (10, 100):
        calls = ruled(count)
        take_turns(calls, TURNS // 10)
        rules[count] = take_turns(calls, TURNS)
    print(f"\n{table(rules)}")


if __name__ == "__main__":
    main()
