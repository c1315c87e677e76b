"""Calls that signals end, and calls that need more memory than they may have."""

from __future__ import annotations

import functools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from support.models import FLOAT, one_node
from support.signals import handler, swallowed

import pyrec_infer as pi
from pyrec_infer.errors import InputError, PyrecError, ResourceLimitError

pytestmark = swallowed

SOON = 0.5
"""Seconds in which a stopped call has to end, on a machine that does other things too."""


class Stop(Exception):
    """What the signal's handler raises."""


def model_of(nodes: list[onnx.NodeProto], constants: dict[str, Any], **options: Any) -> pi.Model:
    """A model from x of shape [N, 64] to y."""
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("x", FLOAT, ["N", 64])],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    return pi.load(proto.SerializeToString(), **options)


def body(*nodes: onnx.NodeProto, scan: bool = False) -> onnx.GraphProto:
    """A loop's body that carries v to w and goes on for ever."""
    typed = helper.make_tensor_value_info
    outputs = [typed("going", onnx.TensorProto.BOOL, []), typed("w", FLOAT, None)]
    return helper.make_graph(
        [helper.make_node("Identity", ["condition"], ["going"]), *nodes],
        "body",
        [
            typed("i", onnx.TensorProto.INT64, []),
            typed("condition", onnx.TensorProto.BOOL, []),
            typed("v", FLOAT, None),
        ],
        [*outputs, typed("made", FLOAT, None)] if scan else outputs,
    )


def endless(**options: Any) -> pi.Model:
    """2^31 - 1 rounds."""
    loop = helper.make_node(
        "Loop", ["rounds", "", "x"], ["y"], body=body(helper.make_node("Neg", ["v"], ["w"]))
    )
    return model_of([loop], {"rounds": np.int64(2**31 - 1)}, **options)


def layers(count: int, **options: Any) -> pi.Model:
    """Products of 64 x 64, one after the other."""
    rng = np.random.default_rng(0)
    nodes, name = [], "x"
    for i in range(count):
        nodes.append(helper.make_node("MatMul", [name, "w"], [f"m{i}"]))
        name = "y" if i == count - 1 else f"t{i}"
        nodes.append(helper.make_node("Tanh", [f"m{i}"], [name]))
    return model_of(nodes, {"w": rng.normal(size=(64, 64)).astype(np.float32)}, **options)


def over_the_batch(count: int, **options: Any) -> pi.Model:
    """Softmaxes over the batch, which run on all rows at once."""
    nodes = [
        helper.make_node(
            "Softmax", ["x" if i == 0 else f"t{i}"], ["y" if i == count - 1 else f"t{i + 1}"], axis=0
        )
        for i in range(count)
    ]
    return model_of(nodes, {}, **options)


def seconds_to_stop(call: Callable[[], Any], after: float = 0.3) -> float:
    """How long after a signal the call ends with what the signal's handler raises."""

    def stop(number: int, frame: Any) -> None:
        raise Stop

    sent: list[float] = []
    main = threading.main_thread().ident
    assert main is not None

    def send() -> None:
        sent.append(time.monotonic())
        signal.pthread_kill(main, signal.SIGUSR1)

    timer = threading.Timer(after, send)
    with handler(signal.SIGUSR1, stop):
        timer.start()
        try:
            with pytest.raises(Stop):
                call()
            return time.monotonic() - sent[0]
        finally:
            timer.cancel()
            timer.join()


ROWS = {"x": np.ones((300_000, 64), np.float32)}
FEWER_ROWS = {"x": ROWS["x"][:12_000]}
"""Enough for the numba backend, which takes a second for as many and 60 layers."""
SHORT = {"x": np.linspace(-1, 1, 640, dtype=np.float32).reshape(10, 64)}


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    ("make", "inputs"),
    [(lambda **options: layers(200, **options), ROWS), (endless, SHORT)],
    ids=["tiles", "loop"],
)
def test_a_signal_ends_a_call_and_leaves_the_model_as_it_was(
    make: Callable[..., pi.Model], inputs: dict[str, Any], threads: int
) -> None:
    model = make(threads=threads)
    if make is not endless:
        model.run(SHORT)
    for call in (lambda: model.run(inputs), lambda: model.score({}, inputs)):
        assert seconds_to_stop(call) < SOON
    if make is not endless:
        again = model.run(SHORT)["y"]
        np.testing.assert_array_equal(again, make(threads=threads).run(SHORT)["y"])


def test_a_signal_ends_what_runs_on_the_whole_batch(backend: str) -> None:
    if backend == "numba":
        pytest.skip("NumPy's calls on a whole batch cannot be ended from outside")
    model = over_the_batch(100)
    assert seconds_to_stop(lambda: model.run(ROWS)) < SOON


def test_a_signal_ends_the_making_of_a_catalogue_and_its_calls() -> None:
    model = layers(200)
    items = {"x": np.ones((300_000, 64), np.float32)}
    assert seconds_to_stop(lambda: model.catalog(items)) < SOON
    catalog = model.catalog(SHORT)
    before = catalog.score({}, np.arange(10))
    assert seconds_to_stop(lambda: catalog.upsert(items, np.arange(300_000))) < SOON
    np.testing.assert_array_equal(catalog.score({}, np.arange(10)), before)


def test_keyboard_interrupts() -> None:
    model = endless()
    timer = threading.Timer(
        0.2, lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    )
    # Shells start what runs in the background with this signal ignored.
    with handler(signal.SIGINT, signal.default_int_handler):
        timer.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                model.run(SHORT)
        finally:
            timer.join()


def test_handlers_that_raise_nothing_run_and_the_call_goes_on(backend: str) -> None:
    model, rows = layers(60), FEWER_ROWS if backend in ("numba", "scalar") else ROWS
    model.run(SHORT)
    seen: list[int] = []
    main = threading.main_thread().ident or 0
    timer = threading.Timer(0.1, lambda: signal.pthread_kill(main, signal.SIGUSR1))
    with handler(signal.SIGUSR1, lambda number, frame: seen.append(number)):
        timer.start()
        try:
            made = model.run(rows)["y"]
        finally:
            timer.join()
    assert seen == [signal.SIGUSR1]
    assert made.shape == rows["x"].shape


def test_other_threads_do_not_stop(backend: str) -> None:
    model, rows = layers(60), FEWER_ROWS if backend in ("numba", "scalar") else ROWS
    model.run(SHORT)
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(model.run(rows)["y"]))
    thread.start()
    assert seconds_to_stop(lambda: time.sleep(30), after=0.1) < SOON
    thread.join()
    np.testing.assert_array_equal(results[0], model.run(rows)["y"])


class Alarm:
    """A handler that is an object."""

    def __call__(self, number: int, frame: Any) -> None:
        raise TimeoutError("enough")

    def method(self, number: int, frame: Any) -> None:
        raise ValueError("enough")


def any_number(*given: Any) -> None:
    raise LookupError("enough")


HANDLERS = [
    (Alarm(), TimeoutError),
    (Alarm().method, ValueError),
    (any_number, LookupError),
    (functools.partial(lambda first, number, frame: [][0], 1), IndexError),
]


@pytest.fixture(params=HANDLERS, ids=["object", "method", "rest", "partial"])
def alarm(request: pytest.FixtureRequest) -> Iterator[type[Exception]]:
    """What the handler of SIGALRM raises."""
    what, kind = request.param
    with handler(signal.SIGALRM, what):
        yield kind
        signal.setitimer(signal.ITIMER_REAL, 0)


def test_what_a_handler_raises_comes_out_of_calls(alarm: type[Exception]) -> None:
    model = endless()
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    with pytest.raises(alarm) as caught:
        model.run(SHORT)
    assert type(caught.value) is alarm


def test_what_a_handler_raises_comes_out_of_loading(alarm: type[Exception]) -> None:
    started = time.perf_counter()
    layers(40)
    whole = time.perf_counter() - started
    raised: list[type[BaseException]] = []
    for share in np.linspace(0.02, 0.8, 12):
        signal.setitimer(signal.ITIMER_REAL, whole * share, 30.0)
        left = 0.0
        try:
            layers(40)
            # It may come here too: between the load's end and the timer's.
            left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
        except Exception as error:
            raised.append(type(error))
        # What is left is short where the alarm is still to come, and the interval where it was lost.
        assert left <= whole
    assert set(raised) == {alarm}


def test_a_reduction_of_a_repeated_value_can_be_stopped(alarm: type[Exception]) -> None:
    nodes = [
        helper.make_node("ConstantOfShape", ["count"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["one"], keepdims=0),
        helper.make_node("Add", ["x", "one"], ["y"]),
    ]
    model = model_of(nodes, {"count": np.asarray([10**12])})
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    started = time.perf_counter()
    # Where the zeros are written out, they are too many.
    with pytest.raises((alarm, ResourceLimitError)):
        model.run(SHORT)
    assert time.perf_counter() - started < 1.5


# Memory


def filled(count: int, **options: Any) -> pi.Model:
    nodes = [
        helper.make_node("ConstantOfShape", ["count"], ["zeros"], name="zeros"),
        helper.make_node("Neg", ["zeros"], ["all"], name="fill"),
        helper.make_node("ReduceSum", ["all"], ["one"], keepdims=0),
        helper.make_node("Add", ["x", "one"], ["y"]),
    ]
    return model_of(nodes, {"count": np.asarray([count])}, **options)


def test_a_call_may_hold_so_many_bytes() -> None:
    model = filled(3_000_000, max_bytes=64 << 20)
    np.testing.assert_array_equal(model.run(SHORT)["y"], SHORT["x"])
    with pytest.raises(ResourceLimitError, match=r"(zeros|fill).*4194304 bytes.*max_bytes"):
        filled(3_000_000, max_bytes=4 << 20).run(SHORT)


def test_a_call_that_was_refused_leaves_room_for_the_next() -> None:
    model = model_of(
        [helper.make_node("Expand", ["x", "x_shape"], ["y"])],
        {"x_shape": np.asarray([1, 1])},
        max_bytes=64 << 20,
    )
    for _ in range(3):
        with pytest.raises(ResourceLimitError):
            over_the_batch(3, max_bytes=1 << 20).run({"x": np.ones((10_000, 64), np.float32)})
        np.testing.assert_array_equal(model.run(SHORT)["y"], SHORT["x"])


def test_the_default_is_less_than_a_terabyte() -> None:
    with pytest.raises(ResourceLimitError):
        filled(10**12).run(SHORT)


@pytest.mark.parametrize("scan", [False, True], ids=["carried", "stacked"])
def test_loops_that_make_more_and_more(scan: bool) -> None:
    grows = (
        helper.make_node("Identity", ["v"], ["w"])
        if scan
        else helper.make_node("Concat", ["v", "v"], ["w"], axis=1)
    )
    inner = [grows, helper.make_node("Identity", ["v"], ["made"])] if scan else [grows]
    loop = helper.make_node(
        "Loop", ["rounds", "", "x"], ["last", "y"] if scan else ["y"], body=body(*inner, scan=scan)
    )
    model = model_of([loop], {"rounds": np.int64(2**31 - 1)}, max_bytes=32 << 20)
    with pytest.raises(ResourceLimitError):
        model.run(SHORT)


def test_results_that_repeat_few_elements_count_whole() -> None:
    proto = one_node("Expand", {"x": (FLOAT, ["N", 1])}, operands=["x", "shape"])
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray([1, 10**12]), "shape"))
    model = pi.load(proto.SerializeToString())
    with pytest.raises(PyrecError):
        model.run({"x": np.ones((2, 1), np.float32)}).get("y", np.zeros(0)).copy()


@pytest.mark.parametrize("given", [0, -1, 1.5, "x"])
def test_limits_that_are_none(given: Any) -> None:
    with pytest.raises(InputError, match="max_bytes"):
        filled(3, max_bytes=given)


def test_views_that_repeat_their_elements_are_refused_where_a_copy_would_take_all_memory() -> None:
    model = layers(1)
    mean = model_of([helper.make_node("ReduceMean", ["x"], ["y"], keepdims=0)], {})
    width = model.inputs[0].shape[1]
    catalog = model.catalog({"x": np.ones((4, width), np.float32)})  # type: ignore[call-overload]
    for many in (1 << 33, 1 << 40):
        ids = np.broadcast_to(np.int64(1), (many,))
        rows = np.broadcast_to(np.ones((1, width), np.float32), (many, width))  # type: ignore[arg-type]
        calls = (
            lambda rows=rows: model.run({"x": rows}),
            lambda rows=rows: mean.run({"x": rows}),
            lambda rows=rows: model.score({}, {"x": rows}),
            lambda ids=ids: model.score({}, SHORT, offsets=ids),
            lambda ids=ids: catalog.score({}, ids),
            lambda ids=ids: catalog.top_k({}, 2, ids=ids),
            lambda ids=ids: catalog.remove(ids),
            lambda ids=ids: catalog.upsert(SHORT, ids),
        )
        for call in calls:
            started = time.perf_counter()
            with pytest.raises(ResourceLimitError):
                call()
            assert time.perf_counter() - started < 1
