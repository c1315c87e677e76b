"""A pipeline over many items beside the same by hand with faiss and onnxruntime: one thread.

``OPENBLAS_NUM_THREADS=1 python -m benchmarks.pipeline`` retrieves 1,000 of 1 M items by inner product, ranks
them with the bundled model, both from one store, and takes the best 50; it compares the answers, takes turns
and prints percentiles, also of one request of eight in one call.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import faiss
import numpy as np
import onnxruntime
from numpy.typing import NDArray

import pyrec_infer as pi
from pyrec_infer.bundled import MODEL, items, users

Array = NDArray[Any]


class ByHand:
    """Search, gather the candidates' features, repeat the request, score, sort."""

    def __init__(self, vectors: Array, features: dict[str, Array]) -> None:
        faiss.omp_set_num_threads(1)
        self.index = faiss.IndexFlatIP(vectors.shape[1])
        self.index.add(vectors)
        self.features = features
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(MODEL), options, providers=["CPUExecutionProvider"])
        (self.output,) = (output.name for output in self.session.get_outputs())

    def top_k(self, request: dict[str, Array], taste: Array, found: int, k: int) -> tuple[Array, Array]:
        ids = self.index.search(taste[np.newaxis], found)[1][0]
        inputs = {name: values[ids] for name, values in self.features.items()}
        inputs |= {name: np.repeat(np.atleast_1d(value), found, axis=0) for name, value in request.items()}
        scores = self.session.run([self.output], inputs)[0].reshape(-1)
        best = np.argpartition(-scores, k)[:k]
        best = best[np.argsort(-scores[best], kind="stable")]
        return ids[best], scores[best]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("items", 1_000_000), ("found", 1000), ("best", 50), ("turns", 60), ("width", 64)):
        parser.add_argument(f"--{name}", type=int, default=value)
    chosen = parser.parse_args()
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((chosen.items, chosen.width), np.float32)
    people = users(8, chosen.items)
    features = {**items(chosen.items), "affinity": people[0].affinity}
    by_hand = ByHand(vectors, features)
    model = pi.load(MODEL)
    pipelines: dict[str, pi.Pipeline] = {}
    for precision in ("fp32", "int8"):
        shop = model.catalog(features, vectors=pi.Vectors(vectors, precision=precision))  # type: ignore[arg-type]
        pipelines[precision] = pi.Pipeline(pi.Source(shop.retriever, "taste", k=chosen.found), shop)
    times: dict[str, list[float]] = {name: [] for name in (*pipelines, "by hand")}
    stages: dict[str, list[float]] = {}
    for turn in range(chosen.turns):
        request = people[turn % len(people)].request
        taste = rng.standard_normal(chosen.width, np.float32)
        begin = time.perf_counter()
        _, scores = by_hand.top_k(request, taste, chosen.found, chosen.best)
        times["by hand"].append(time.perf_counter() - begin)
        for name, pipeline in pipelines.items():
            begin = time.perf_counter()
            found = pipeline.top_k({**request, "taste": taste}, chosen.best)
            times[name].append(time.perf_counter() - begin)
            np.testing.assert_allclose(found.scores, scores, rtol=1e-4, atol=1e-6)
            for stage, seconds in found.times.items():
                stages.setdefault(f"{name} {stage}", []).append(seconds)
    together = {
        name: np.concatenate([np.atleast_1d(person.request[name]) for person in people])
        for name in people[0].request
    }
    together["taste"] = rng.standard_normal((len(people), chosen.width), np.float32)
    for _ in range(chosen.turns // 4):
        for name, pipeline in pipelines.items():
            begin = time.perf_counter()
            pipeline.top_k(together, chosen.best)
            each = (time.perf_counter() - begin) / len(people)
            times.setdefault(f"{name} each of {len(people)}", []).append(each)
    for name, taken in {**times, **stages}.items():
        middle, late = np.percentile(np.asarray(taken) * 1e3, [50, 99])
        print(f"{name:<16} p50 {middle:8.2f} ms   p99 {late:8.2f} ms")
    for name in pipelines:
        ratio = np.median(times["by hand"]) / np.median(times[name])
        print(f"{name:<12} ratio of the medians to by hand {ratio:.1f}")


if __name__ == "__main__":
    main()
