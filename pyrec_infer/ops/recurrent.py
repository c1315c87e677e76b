"""RNN, GRU and LSTM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pyrec_infer.errors import ModelError, ShapeError
from pyrec_infer.ir import Array, Info, Node, Rows, Size, fault
from pyrec_infer.ops.core import rows
from pyrec_infer.ops.core.registry import Op, RowFlow, couples, optional, required
from pyrec_infer.ops.core.shapes import fresh
from pyrec_infer.ops.scores import logistic

_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
_DEFAULTS = {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh")}
_DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}

Activation = Callable[[Array], Array]

# Name in lower case: function of (x, alpha, beta), and the defaults of alpha and beta where it has them.
_ACTIVATIONS: dict[str, tuple[Callable[[Array, Any, Any], Array], float | None, float | None]] = {
    "relu": (lambda x, a, b: np.maximum(x, 0), None, None),
    "tanh": (lambda x, a, b: np.tanh(x), None, None),
    "sigmoid": (lambda x, a, b: logistic(x), None, None),
    "affine": (lambda x, a, b: a * x + b, 1.0, 0.0),
    "leakyrelu": (lambda x, a, b: np.where(x < 0, a * x, x), 0.01, None),
    "thresholdedrelu": (lambda x, a, b: np.where(x > a, x, 0), 1.0, None),
    "scaledtanh": (lambda x, a, b: a * np.tanh(b * x), 1.0, 1.0),
    "hardsigmoid": (lambda x, a, b: np.clip(a * x + b, 0, 1), 0.2, 0.5),
    "elu": (lambda x, a, b: np.where(x < 0, a * np.expm1(np.minimum(x, 0)), x), 1.0, None),
    "softsign": (lambda x, a, b: x / (1 + np.abs(x)), None, None),
    "softplus": (lambda x, a, b: np.logaddexp(x, 0), None, None),
}


def _fail(node: Node, rule: str) -> ModelError:
    return fault(ModelError, node, rule)


def _directions(node: Node) -> tuple[bool, ...]:
    found = _DIRECTIONS.get(str(node.attribute("direction", "forward")))
    if found is None:
        raise _fail(node, "unknown direction")
    return found


def _activations(node: Node, directions: int, dtype: np.dtype[Any]) -> list[Activation]:
    """The activation functions of all directions, each with the clip in front."""
    names = tuple(node.attribute("activations", ())) or _DEFAULTS[node.op] * directions
    if len(names) != len(_DEFAULTS[node.op]) * directions:
        raise _fail(node, f"got {len(names)} activations")
    alphas = list(node.attribute("activation_alpha", ()))
    betas = list(node.attribute("activation_beta", ()))
    clip = node.attribute("clip", 0.0)

    def bound(name: str) -> Activation:
        if name.lower() not in _ACTIVATIONS:
            raise _fail(node, f"unknown activation {name!r}")
        function, alpha, beta = _ACTIVATIONS[name.lower()]
        if alpha is not None and alphas:
            alpha = alphas.pop(0)
        if beta is not None and betas:
            beta = betas.pop(0)

        def apply(x: Array) -> Array:
            clipped = np.clip(x, -clip, clip) if clip > 0 else x
            return function(clipped, alpha, beta).astype(dtype, copy=False)

        return apply

    return [bound(str(name)) for name in names]


def _infer(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    x, r = required(node, inputs, 0), optional(inputs, 2)
    directions = len(_directions(node))
    steps: Size
    batch: Size
    steps, batch, hidden = fresh(node, 0, 0), fresh(node, 0, 2), fresh(node, 0, 3)
    if x.shape is not None:
        if len(x.shape) != 3:
            raise _fail(node, f"X: expected rank 3, got {len(x.shape)}")
        steps, batch = (x.shape[1], x.shape[0]) if node.attribute("layout", 0) else x.shape[:2]
    size: Size = hidden
    declared = node.attribute("hidden_size")
    if r is not None and r.shape:
        size = r.shape[-1]
    elif declared is not None:
        size = int(declared)
    if declared is not None and (declared < 1 or (isinstance(size, int) and size != declared)):
        raise _fail(node, f"hidden_size: expected the weights' {size}, got {declared}")
    if node.attribute("layout", 0):
        shapes = [(batch, steps, directions, size), (batch, directions, size)]
    else:
        shapes = [(steps, directions, batch, size), (directions, batch, size)]
    shapes.append(shapes[1])
    return [Info(x.dtype, shape) for shape in shapes[: len(node.outputs)]]


def _expect(node: Node, name: str, value: Array, shape: tuple[int, ...]) -> Array:
    if value.shape != shape:
        raise fault(ShapeError, node, f"{name}: expected shape {shape}, got {value.shape}")
    return value


def _times(lengths: Array, step: int, reverse: bool) -> Array:
    """The time each row is at in this step."""
    return lengths - 1 - step if reverse else np.full_like(lengths, step)


def _cell(
    node: Node, functions: Sequence[Activation], r: Array, wb: Array, rb: Array, p: Array
) -> Callable[[Array, Array, Array], tuple[Array, Array]]:
    """One step: (gates of the input, state, cell) -> (state, cell)."""
    n = r.shape[1]

    def rnn(a: Array, h: Array, c: Array) -> tuple[Array, Array]:
        return functions[0](a + wb + h @ r.T + rb), c

    def gru(a: Array, h: Array, c: Array) -> tuple[Array, Array]:
        zr = functions[0](a[:, : 2 * n] + wb[: 2 * n] + h @ r[: 2 * n].T + rb[: 2 * n])
        z, reset = zr[:, :n], zr[:, n:]
        if node.attribute("linear_before_reset", 0):
            hidden = reset * (h @ r[2 * n :].T + rb[2 * n :])
        else:
            hidden = (reset * h) @ r[2 * n :].T + rb[2 * n :]
        candidate = functions[1](a[:, 2 * n :] + wb[2 * n :] + hidden)
        return (1 - z) * candidate + z * h, c

    def lstm(a: Array, h: Array, c: Array) -> tuple[Array, Array]:
        i, o, f, update = np.split(a + wb + h @ r.T + rb, 4, axis=1)
        i = functions[0](i + p[:n] * c)
        f = 1 - i if node.attribute("input_forget", 0) else functions[0](f + p[2 * n :] * c)
        c = f * c + i * functions[1](update)
        o = functions[0](o + p[n : 2 * n] * c)
        return o * functions[2](c), c

    return {"RNN": rnn, "GRU": gru, "LSTM": lstm}[node.op]


def _evaluate(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    batch_first = bool(node.attribute("layout", 0))
    dtype = required(node, inputs, 0).dtype
    real = np.dtype(np.float64 if dtype == np.float64 else np.float32)

    def at(index: int) -> Array | None:
        value = optional(inputs, index)
        return None if value is None else value.astype(real, copy=False)

    x, w, r = (required(node, [at(0), at(1), at(2)], index) for index in range(3))
    if x.ndim != 3 or w.ndim != 3 or r.ndim != 3:
        raise fault(ShapeError, node, f"X, W and R: expected rank 3, got {x.ndim}, {w.ndim} and {r.ndim}")
    x = x.swapaxes(0, 1) if batch_first else x
    reverse = _directions(node)
    directions, gates = len(reverse), _GATES[node.op]
    (steps, batch, size), hidden = x.shape, r.shape[2]
    _expect(node, "W", w, (directions, gates * hidden, size))
    _expect(node, "R", r, (directions, gates * hidden, hidden))
    functions = _activations(node, directions, real)

    def given(index: int, name: str, shape: tuple[int, ...], state: bool = False) -> Array:
        value = at(index)
        if value is None:
            return np.zeros(shape, real)
        return _expect(node, name, value.swapaxes(0, 1) if state and batch_first else value, shape)

    bias = given(3, "B", (directions, 2 * gates * hidden))
    state = given(5, "initial_h", (directions, batch, hidden), state=True)
    lstm = node.op == "LSTM"
    cell = given(6, "initial_c", (directions, batch, hidden), state=True) if lstm else np.zeros_like(state)
    peepholes = given(7, "P", (directions, 3 * hidden)) if lstm else np.zeros((directions, 0), real)
    lengths_given = optional(inputs, 4)
    lengths = np.full(batch, steps) if lengths_given is None else lengths_given.astype(np.int64)
    _expect(node, "sequence_lens", lengths, (batch,))
    if ((lengths < 0) | (lengths > steps)).any():
        raise fault(ShapeError, node, f"a length is outside of [0, {steps}]")

    y = np.zeros((steps, directions, batch, hidden), real)
    last_h, last_c = np.empty_like(state), np.empty_like(cell)
    row = np.arange(batch)
    count = len(_DEFAULTS[node.op])
    for d, backward in enumerate(reverse):
        wb, rb = np.split(bias[d], 2)
        step_of = _cell(node, functions[d * count : (d + 1) * count], r[d], wb, rb, peepholes[d])
        projected = x @ w[d].T
        h, c = state[d], cell[d]
        for step in range(int(lengths.max(initial=0))):
            active = row[step < lengths]
            time = _times(lengths, step, backward)[active]
            new_h, new_c = step_of(projected[time, active], h[active], c[active])
            h, c = h.copy(), c.copy()
            h[active], c[active] = new_h, new_c
            y[time, d, active] = new_h
        last_h[d], last_c[d] = h, c
    results = [y, last_h, last_c]
    if batch_first:
        results = [y.transpose(2, 0, 1, 3), last_h.swapaxes(0, 1), last_c.swapaxes(0, 1)]
    return [np.ascontiguousarray(value).astype(dtype, copy=False) for value in results[: len(node.outputs)]]


def _rows_of_recurrent(node: Node, inputs: rows.Inputs, outputs: rows.Outputs) -> RowFlow:
    """RNN, GRU and LSTM, both layouts."""
    first = inputs[0]
    time_major = not node.attribute("layout", 0)
    axis = 1 if time_major else 0
    expected = {0: axis, 4: 0, 5: axis, 6: axis}
    batched = any(map(rows.batched, inputs))
    fits = first is not None and all(
        info is None or info.rows == expected.get(index, Rows.INVARIANT) for index, info in enumerate(inputs)
    )
    if not batched or not fits:
        return couples(node, inputs, outputs)
    return RowFlow(((2, 1, 1) if time_major else (0, 0, 0))[: len(outputs)])


OPS: tuple[Op, ...] = tuple(Op(name, _infer, _evaluate, _rows_of_recurrent) for name in _GATES)
