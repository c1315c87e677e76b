"""Threads, processes, the interpreter lock and memory."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper
from support.dot_models import dlrm, sides
from support.models import FLOAT, ITEMS, USERS, make_model, ranker
from support.resident import in_fresh_process, resident_bytes

import pyrec_infer as pi

Arrays = dict[str, NDArray[Any]]

LARGE = 200_000, 64


def wide_model(width: int = 512, layers: int = 3) -> bytes:
    """An MLP that keeps a core busy for long."""
    generator = np.random.default_rng(1)
    nodes, constants = [], {}
    for layer in range(layers):
        constants[f"w{layer}"] = generator.standard_normal((width, width), np.float32) / np.float32(
            width**0.5
        )
        nodes.append(helper.make_node("MatMul", [f"x{layer}", f"w{layer}"], [f"y{layer}"]))
        nodes.append(helper.make_node("Relu", [f"y{layer}"], [f"x{layer + 1}"]))
    nodes.append(helper.make_node("ReduceSum", [f"x{layers}", "axes"], ["score"], keepdims=0))
    constants["axes"] = np.asarray([1])
    inputs = {"x0": (FLOAT, ("N", width))}
    return make_model(nodes, inputs, {"score": (FLOAT, ["N"])}, constants).SerializeToString()


def arguments(count: int, seed: int) -> tuple[Arrays, Arrays]:
    """A request and candidates of `ranker`, split in one of three ways."""
    generator = np.random.default_rng(seed)
    values: Arrays = {
        "user": generator.integers(0, USERS, count),
        "item": generator.integers(0, ITEMS, count),
        "dense": generator.standard_normal((count, 3), np.float32),
    }
    own = (["user"], ["item"], ["user", "dense"])[seed % 3]
    request = {name: values.pop(name)[:1] for name in own}
    return request, values


@pytest.fixture(scope="module")
def pooled() -> pi.Model:
    """A model whose two threads run."""
    model = pi.load(ranker().SerializeToString(), threads=2)
    model.score(*arguments(5000, 0))
    return model


def test_scores_do_not_depend_on_the_number_of_threads() -> None:
    one, two, four = (pi.load(ranker().SerializeToString(), threads=count) for count in (1, 2, 4))
    for seed, count in enumerate((1, 2, 255, 256, 257, 5000, 20_001)):
        given = arguments(count, seed)
        expected = one.score(*given).tobytes()
        assert two.score(*given).tobytes() == expected
        assert four.score(*given).tobytes() == expected


def test_scores_of_rows_that_are_much_work_do_not_depend_on_the_number_of_threads() -> None:
    """A tile has 16 of them, and the last parts that threads share two."""
    width = 40_000
    nodes = [
        helper.make_node("Expand", ["x", "shape"], ["wide"]),
        helper.make_node("Mul", ["wide", "w"], ["scaled"]),
        helper.make_node("ReduceSum", ["scaled", "axes"], ["score"], keepdims=0),
    ]
    generator = np.random.default_rng(3)
    constants = {
        "shape": np.asarray([1, width]),
        "w": generator.standard_normal(width, np.float32),
        "axes": np.asarray([1]),
    }
    content = make_model(nodes, {"x": (FLOAT, ("N", 1))}, {"score": (FLOAT, ["N"])}, constants)
    one, two, three = (pi.load(content.SerializeToString(), threads=count) for count in (1, 2, 3))
    for count in (1, 2, 15, 31, 32, 33, 47, 100, 257):
        x = generator.standard_normal((count, 1), np.float32)
        expected = one.score({}, {"x": x})
        exact = x[:, 0] * constants["w"].sum(dtype=np.float64)
        error = 1e-6 * np.abs(constants["w"]).sum() * np.abs(x).max()
        np.testing.assert_allclose(expected, exact, rtol=0, atol=error)
        assert two.score({}, {"x": x}).tobytes() == expected.tobytes()
        assert three.score({}, {"x": x}).tobytes() == expected.tobytes()


def test_a_matrix_that_threads_fold_for_a_request_is_the_one_that_a_thread_folds() -> None:
    content = dlrm(width=600)
    models = [pi.load(content, threads=threads) for threads in (1, 2, 3)]
    steps = [step for phase in models[1].explain(sides(1)[0]).as_dict()["phases"] for step in phase["steps"]]
    assert "pyrec.FoldDots" in {step["operator"] for step in steps}
    for seed in range(5):
        request, items, rest = sides(4000, seed)
        one, *others = (model.score(request, {**items, **rest}) for model in models)
        for other in others:
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("threads", [1, 2])
def test_concurrent_calls_equal_serial_ones(threads: int) -> None:
    model = pi.load(ranker().SerializeToString(), threads=threads)
    calls = [arguments(count, seed) for seed, count in enumerate([1, 300, 5000, 17, 900, 2, 3000, 64] * 3)]
    expected = [pi.load(ranker().SerializeToString()).score(*call).tobytes() for call in calls]
    start = threading.Barrier(8)

    def work(number: int) -> list[int]:
        start.wait()
        order = np.random.default_rng(number).permutation(np.tile(np.arange(len(calls)), 5))
        return [i for i in order if model.score(*calls[i]).tobytes() != expected[i]]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [[]] * 8


def test_errors_in_one_thread_leave_the_others_alone(pooled: pi.Model) -> None:
    request, candidates = arguments(5000, 0)
    expected = pooled.score(request, candidates).tobytes()
    wrong = {**candidates, "item": np.full(5000, ITEMS)}
    stop = threading.Event()

    def fail() -> int:
        failures = 0
        while not stop.is_set():
            with pytest.raises(pi.errors.IdRangeError):
                pooled.score(request, wrong)
            failures += 1
        return failures

    with ThreadPoolExecutor(2) as pool:
        failing = [pool.submit(fail) for _ in range(2)]
        try:
            for _ in range(100):
                assert pooled.score(request, candidates).tobytes() == expected
        finally:
            stop.set()
        assert all(future.result() > 0 for future in failing)


def in_child(work: Callable[[], bool], seconds: float = 30) -> int:
    """The exit status of a forked child; one that hangs is killed."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if work() else 2
        finally:
            os._exit(status)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    pytest.fail("the forked child hangs")


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
ignore_fork_warning = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


@needs_fork
@ignore_fork_warning
def test_a_forked_child_starts_threads_of_its_own(pooled: pi.Model, backend: str) -> None:
    if backend == "numba":
        pytest.skip("the numba backend starts no threads")
    given = arguments(5000, 3)
    expected = pooled.score(*given).tobytes()

    def work() -> bool:
        before = len(os.listdir("/proc/self/task")) if sys.platform == "linux" else 1
        same = pooled.score(*given).tobytes() == expected
        after = len(os.listdir("/proc/self/task")) if sys.platform == "linux" else 2
        return same and (before, after) == (1, 2)

    assert in_child(work) == 0
    assert pooled.score(*given).tobytes() == expected
    # A child of a child.
    assert in_child(lambda: pooled.score(*given).tobytes() == expected and in_child(work) == 0) == 0


@needs_fork
@ignore_fork_warning
def test_fork_while_other_threads_score(pooled: pi.Model) -> None:
    given = [arguments(5000, seed) for seed in range(3)]
    expected = [pooled.score(*one).tobytes() for one in given]
    stop = threading.Event()

    def keep_scoring() -> None:
        while not stop.is_set():
            # A new model's plan is compiled at its first call.
            pi.load(ranker().SerializeToString(), threads=2).score(*given[0])
            for one in given:
                pooled.score(*one)

    threads = [threading.Thread(target=keep_scoring) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            status = in_child(
                lambda: all(
                    pooled.score(*one).tobytes() == wanted
                    for _ in range(3)
                    for one, wanted in zip(given, expected, strict=True)
                )
            )
            assert status == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@needs_fork
@ignore_fork_warning
def test_threads_in_a_forked_child(pooled: pi.Model) -> None:
    given = arguments(5000, 1)
    expected = pooled.score(*given).tobytes()

    def work() -> bool:
        with ThreadPoolExecutor(4) as pool:
            made = [pool.submit(pooled.score, *given) for _ in range(20)]
            return all(one.result().tobytes() == expected for one in made)

    assert in_child(work) == 0


def scores_of(
    model: pi.Model, request: Mapping[str, Any], candidates: Mapping[str, Any]
) -> NDArray[np.float32]:
    return model.score(request, candidates)


def test_models_go_to_spawned_processes_by_path(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(ranker().SerializeToString())
    model = pi.load(path, threads=2)
    given = [arguments(3000, seed) for seed in range(3)]
    assert len(pickle.dumps(model)) < 500
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        made = pool.starmap_async(scores_of, [(model, *one) for one in given]).get(timeout=60)
    for one, scores in zip(given, made, strict=True):
        np.testing.assert_array_equal(scores, model.score(*one))


class Ticker:
    """A second Python thread that needs the interpreter lock a few thousand times a second."""

    def __init__(self) -> None:
        self.ticks = 0
        self.stop = False
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        while not self.stop:
            self.ticks += 1
            time.sleep(0.0002)

    def __enter__(self) -> Ticker:
        self.thread.start()
        while self.ticks < 3:
            time.sleep(0.001)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop = True
        self.thread.join()

    def during(self, work: Callable[[], object]) -> int:
        """Ticks while ``work`` runs, which are only possible where it gives the lock away itself."""
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1000)
        try:
            before = self.ticks
            work()
            return self.ticks - before
        finally:
            sys.setswitchinterval(interval)


def needs_native(backend: str) -> None:
    if backend == "numba":
        pytest.skip("the native backends release the lock")


def test_ticker_stands_still_while_python_computes() -> None:
    # A busy machine may make the lock change hands; that it does each time would be the library's doing.
    with Ticker() as ticker:
        assert min(ticker.during(lambda: sum(range(3_000_000))) for _ in range(5)) <= 1


def test_score_releases_the_interpreter_lock(backend: str) -> None:
    needs_native(backend)
    model = pi.load(wide_model())
    x = np.random.default_rng(0).standard_normal((10_000, 512), np.float32)
    call = model.prepare([], ["x0"])
    out = np.empty(len(x), np.float32)
    with Ticker() as ticker:
        assert ticker.during(lambda: [call(x, out=out) for _ in range(3)]) >= 10
        assert ticker.during(lambda: model.score({}, {"x0": x})) >= 3


def test_making_a_plan_releases_the_interpreter_lock(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_native(backend)
    from pyrec_infer.backends import native

    ticks: list[int] = []

    class Watched:
        """The extension, with a watch on the making of plans."""

        def __getattr__(self, name: str) -> Any:
            return getattr(native_module, name)

        def Executor(self, *given: Any) -> Any:
            made: list[Any] = []
            ticks.append(ticker.during(lambda: made.append(native_module.Executor(*given))))
            return made[0]

    native_module = native.native
    monkeypatch.setattr(native, "native", Watched())
    model = pi.load(wide_model(1536, 6))
    with Ticker() as ticker:
        model.prepare([], ["x0"])
    assert len(ticks) == 1
    assert ticks[0] >= 3


def test_other_threads_get_on_during_load() -> None:
    source = wide_model(1024, 8)
    with Ticker() as ticker:
        before = ticker.ticks
        started = time.perf_counter()
        pi.load(source).prepare([], ["x0"])
        elapsed = time.perf_counter() - started
        # At worst one tick in each switch interval; parsing holds the lock for longer at times.
        assert ticker.ticks - before >= min(5, elapsed / 0.05)


def growth_with_calls() -> int:
    model = pi.load(ranker().SerializeToString(), threads=2)
    generator = np.random.default_rng(0)
    counts = np.exp(generator.uniform(0, np.log(20_000), 2000)).astype(int)
    request, candidates = arguments(20_000, 0)

    def call(count: int) -> None:
        model.score(request, {name: value[:count] for name, value in candidates.items()})

    for count in (20_000, *counts[:200]):
        call(count)
    before = resident_bytes()
    for count in counts:
        call(count)
    return resident_bytes() - before


def test_memory_does_not_grow_with_calls() -> None:
    assert in_fresh_process(growth_with_calls) < 8 << 20


def growth_by_a_large_call() -> int:
    # A softmax over the batch runs on all rows at once.
    nodes = [
        helper.make_node("Softmax", ["x"], ["y"], axis=0),
        helper.make_node("Mul", ["y", "y"], ["score"]),
    ]
    proto = make_model(nodes, {"x": (FLOAT, ["N", 64])}, {"score": (FLOAT, ["N", 64])})
    model = pi.load(proto.SerializeToString())
    x = np.ones(LARGE, np.float32)
    model.score({}, {"x": x[:10]})
    before = resident_bytes()
    model.score({}, {"x": x})
    for _ in range(200):
        model.score({}, {"x": x[:10]})
    return resident_bytes() - before


def test_memory_of_a_large_call_is_given_back() -> None:
    assert in_fresh_process(growth_by_a_large_call) < LARGE[0] * LARGE[1] * 4 / 2


def growth_by_deleted_models() -> int:
    source = wide_model(640, 8)
    x = np.ones((20, 640), np.float32)

    def use() -> weakref.ref[pi.Model]:
        model = pi.load(source, threads=2)
        model.score({}, {"x0": x})
        model.prepare([], ["x0"])(x)
        return weakref.ref(model)

    use()
    gc.collect()
    gc.disable()
    before = resident_bytes()
    for _ in range(5):
        assert use()() is None
    return resident_bytes() - before


def test_a_deleted_model_is_freed_at_once() -> None:
    assert in_fresh_process(growth_by_deleted_models) < len(wide_model(640, 8))


def settled_threads() -> int:
    """How many threads there are once none of an earlier model is ending."""
    gc.collect()
    counts = [len(os.listdir("/proc/self/task"))]
    while len(counts) < 3 or len(set(counts[-3:])) > 1:
        time.sleep(0.05)
        counts.append(len(os.listdir("/proc/self/task")))
    return counts[-1]


def test_threads_end_with_the_model() -> None:
    if sys.platform != "linux":
        pytest.skip("no /proc here")
    before = settled_threads()
    models = [pi.load(ranker().SerializeToString(), threads=3) for _ in range(3)]
    for model in models:
        model.score(*arguments(5000, 0))
    assert len(os.listdir("/proc/self/task")) >= before + (0 if "numba" in repr(models[0]) else 6)
    del models, model
    deadline = time.monotonic() + 10
    while len(os.listdir("/proc/self/task")) > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(os.listdir("/proc/self/task")) <= before


def test_exit_while_a_thread_scores() -> None:
    code = """
import threading, numpy as np, pyrec_infer as pi
from pyrec_infer.bundled import MODEL, items, users
model = pi.load(MODEL, threads=2)
(user,) = users(1, 5000)
given = user.request, {**items(5000), "affinity": user.affinity}
def work():
    while True:
        model.score(*given)
threading.Thread(target=work, daemon=True).start()
for _ in range(20):
    model.score(*given)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], timeout=60, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
