"""The best k of many scores, beside NumPy and PyTorch, and ONNX's TopK beside onnxruntime: one thread.

``python -m benchmarks.selection`` compares the answers, then takes turns and prints tables, for scores in
several orders. Our rows come in the order of their scores, as PyTorch's do; NumPy's ``argpartition`` leaves
them in no order.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import pyrec_infer as pi
from benchmarks.turns import take_turns
from pyrec_infer.top_k import best_rows

Array = NDArray[Any]
Runs = dict[str, Callable[[], Array]]


def _with_nan(scores: Array) -> Array:
    made = scores.copy()
    made[np.random.default_rng(1).random(made.shape) < 0.5] = np.nan
    return made


ORDERS: dict[str, Callable[[Array], Array]] = {
    "random": lambda scores: scores,
    "rising": lambda scores: np.sort(scores),
    "falling": lambda scores: -np.sort(-scores),
    "constant": lambda scores: np.full_like(scores, 0.5),
    "half NaN": _with_nan,
}


def contestants(scores: Array, k: int) -> Runs:
    """Each gives the best k scores, in its own order; NaN is the best for NumPy and PyTorch."""
    import torch

    torch.set_num_threads(1)
    tensor = torch.from_numpy(scores)
    return {
        "pyrec_infer": lambda: scores[best_rows(scores, k)],
        "NumPy": lambda: scores[np.argpartition(scores, len(scores) - k)[len(scores) - k :]],
        "PyTorch": lambda: np.asarray(torch.topk(tensor, k).values),
    }


def operators(scores: Array, k: int) -> Runs:
    """The same graph with one TopK over the last axis in both runtimes."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    sizes = ["N", scores.shape[1]]
    graph = helper.make_graph(
        [helper.make_node("TopK", ["x", "k"], ["values", "places"])],
        "top_k",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, sizes)],
        [
            helper.make_tensor_value_info("values", TensorProto.FLOAT, ["N", k]),
            helper.make_tensor_value_info("places", TensorProto.INT64, ["N", k]),
        ],
        [numpy_helper.from_array(np.asarray([k]), "k")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    content, options = made.SerializeToString(), onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    model = pi.load(content)
    return {
        "pyrec_infer": lambda: model.run({"x": scores})["values"],
        "onnxruntime": lambda: session.run(["values", "places"], {"x": scores})[0],
    }


def measure(runs: Runs, turns: int, exact: bool = True) -> dict[str, float]:
    """Median seconds of each, taking turns, after a check that all find the same scores."""
    answers = [np.sort(run()) for run in runs.values()]
    for answer in answers[1:]:
        if exact:
            np.testing.assert_array_equal(answer, answers[0])
    return take_turns(runs, turns)


def _row(label: str, times: dict[str, float]) -> str:
    own, *peers = times.values()
    beside = " | ".join(f"{peer * 1e3:.3f} ({peer / own:.1f}x)" for peer in peers)
    return f"| {label} | {own * 1e3:.3f} | {beside} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 100_000, 1_000_000, 10_000_000])
    parser.add_argument("--k", type=int, nargs="+", default=[1, 10, 100, 1_000])
    options = parser.parse_args()
    print("| scores | k | order | pyrec_infer, ms | NumPy | PyTorch |\n|---|---|---|---|---|---|")
    for count in options.counts:
        scores = np.random.default_rng(0).normal(size=count).astype(np.float32)
        for k in options.k:
            for order, put in ORDERS.items():
                if k < count:
                    times = measure(contestants(put(scores), k), options.turns, order != "half NaN")
                    print(_row(f"{count} | {k} | {order}", times), flush=True)
    print("\n| TopK of | k | order | pyrec_infer, ms | onnxruntime |\n|---|---|---|---|---|")
    for rows, count, k in ((1, 1_000_000, 100), (64, 10_000, 10)):
        scores = np.random.default_rng(0).normal(size=(rows, count)).astype(np.float32)
        for order in ("random", "rising", "falling", "constant"):
            times = measure(operators(ORDERS[order](scores), k), options.turns)
            print(_row(f"[{rows}, {count}] | {k} | {order}", times), flush=True)


if __name__ == "__main__":
    main()
