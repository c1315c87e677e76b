"""A plan made ready: its phases in a backend, its string operators in Python around them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pyrec_infer.backends.base import Executor, guarded
from pyrec_infer.errors import PyrecError, RowCountError, ShapeError
from pyrec_infer.ir import Array, Node, Rate, Rows, as_array_of_strings, as_texts, holds_strings, reworded
from pyrec_infer.limits import repeats_beyond_memory, require_own_elements
from pyrec_infer.ops import OPS
from pyrec_infer.plan import Plan
from pyrec_infer.plan.sources import Sources, node_label
from pyrec_infer.strings.tensors import as_plain, is_tensor


def _evaluate(nodes: Iterable[Node], values: dict[str, Any], sources: Sources) -> None:
    for node in nodes:
        try:
            with np.errstate(all="ignore"):
                evaluate = guarded(node, OPS[node.op].evaluate)
                results = evaluate([values[name] if name else None for name in node.inputs])
        except PyrecError as error:
            raise reworded(error, node, node_label(node, sources)) from None
        values.update(zip(node.outputs, results, strict=True))


def _shown(value: Any) -> Any:
    """A result as callers get it."""
    if isinstance(value, np.ndarray) and holds_strings(value):
        return as_array_of_strings(value.reshape(-1).tolist()).reshape(value.shape)
    return value


class ReadyPlan:
    """Runs a plan on named arrays.

    Parameters
    ----------
    plan : Plan
    executor : Executor
        The plan's phases in a backend.
    repeated : frozenset of str
        Inputs of a request that the plan has beside each candidate: where the file fixes the batch to a
        number of rows, every block of candidates is given complete.
    """

    def __init__(self, plan: Plan, executor: Executor, repeated: frozenset[str] = frozenset()) -> None:
        self.plan = plan
        self.executor = executor
        self._given = plan.given_inputs()
        self._repeated = repeated

    def run(self, arrays: Mapping[str, Array], offsets: Sequence[int], rows: int) -> dict[str, Array]:
        """The model's outputs by name.

        Parameters
        ----------
        arrays : mapping of str to ndarray
            Every input that the plan reads.
        offsets : sequence of int
            Row bounds of several requests, or empty.
        rows : int
            Number of candidates.
        """
        for name, array in arrays.items():
            if not is_tensor(array) and repeats_beyond_memory(array):
                require_own_elements(f"input '{name}'", array)
        if self.plan.static_rows > 1:
            return self._run_blocks(arrays, offsets, rows)
        return self._run_plan(arrays, offsets, rows)

    def _run_blocks(self, arrays: Mapping[str, Array], offsets: Sequence[int], rows: int) -> dict[str, Array]:
        """The outputs where the file fixes the number of rows: each request's last block is padded."""
        size = self.plan.static_rows
        counts = np.diff(offsets) if len(offsets) else np.asarray([rows])
        if self.plan.coupled and any(count % size or count > size for count in counts.tolist()):
            node = self.plan.coupled[0]
            raise RowCountError(
                f"the file fixes the batch to {size} rows, and {node.title} couples them: "
                f"expected {size} candidates, got {int(counts.max())}"
            )
        begins = np.cumsum(counts) - counts
        padded = -(-counts // size) * size
        chosen = [
            begin + np.minimum(np.arange(many), count - 1)
            for begin, many, count in zip(begins, padded, counts, strict=True)
        ]
        places = np.concatenate(chosen) if chosen else np.empty(0, np.int64)
        given = {}
        for name, array in arrays.items():
            axis = self.plan.infos[name].rows
            by_request = name in self._repeated
            expected = len(counts) if by_request else rows
            if axis >= 0 and array.shape[axis] != expected:
                raise RowCountError(f"input '{name}': expected {expected} rows, got {array.shape[axis]}")
            index = np.repeat(np.arange(len(counts)), padded) if by_request else places
            given[name] = array if axis < 0 else np.take(array, index, axis=axis)
        made = self._run_plan(given, (), len(places))
        kept = np.concatenate([np.arange(many) < count for many, count in zip(padded, counts, strict=True)])
        axes = {item.value: item.axis for item in self.plan.outputs}
        return {
            name: np.compress(kept, value, axis=axes[name]) if axes.get(name, -1) >= 0 else value
            for name, value in made.items()
        }

    def _run_plan(self, arrays: Mapping[str, Array], offsets: Sequence[int], rows: int) -> dict[str, Array]:
        values: dict[str, Any] = dict(arrays)
        if self.plan.prologue:
            self._run_prologue(values, offsets, rows)
        given = [values[item.name] for item in self._given]
        if not len(offsets) and all(item.request or item.rows < 0 for item in self.plan.inputs):
            offsets = (0, rows)
        made = self.executor.run(given, offsets, not self.plan.epilogue) if self.plan.outputs else []
        results = {item.value: value for item, value in zip(self.plan.outputs, made, strict=True)}
        values.update(results)
        if self.plan.epilogue:
            for name in {name for node in self.plan.epilogue for name in node.inputs if name}:
                values.setdefault(name, self.plan.constants.get(name))
            _evaluate(self.plan.epilogue, values, self.plan.sources)
        for name in self.plan.results:
            if name not in values:
                values[name] = self.plan.constants[name]
        # What is of a fixed width already has no other reader.
        done = {name for name, value in results.items() if value.dtype.kind == "U"}
        return {name: values[name] if name in done else _shown(values[name]) for name in self.plan.results}

    def _run_prologue(self, values: dict[str, Any], offsets: Sequence[int], rows: int) -> None:
        counts = np.diff(offsets) if len(offsets) else np.asarray([rows])
        rates = self.plan.rates
        plain = {name: as_plain(value) for name, value in values.items()}
        values.update((name, as_texts(array)) for name, array in plain.items() if holds_strings(array))
        values.update(self.plan.constants)
        for node in self.plan.prologue:
            paired = any(rates[name] == Rate.PAIR for name in node.outputs if name)
            for name in node.inputs:
                info = self.plan.infos[name] if name else None
                if info is None or not paired or rates[name] != Rate.REQUEST or info.rows == Rows.INVARIANT:
                    continue
                if info.rows < 0:
                    raise ShapeError(f"value '{name}' cannot be repeated for each candidate")
                values[name] = np.repeat(values[name], counts, axis=info.rows)
                rates = {**rates, name: Rate.PAIR}
            _evaluate([node], values, self.plan.sources)

    def check_rows(self, arrays: Mapping[str, Array], request: int, rows: int) -> None:
        """Check the rows of what no backend sees: strings, and everything where there are no candidates."""
        for name, array in arrays.items():
            info = self.plan.infos[name]
            if info.rows < 0 or (rows and not holds_strings(array)):
                continue
            of_request = name in self._repeated or self.plan.rates[name] == Rate.REQUEST
            expected = request if of_request else rows
            if array.ndim <= info.rows:
                raise ShapeError(
                    f"input '{name}': expected rows along axis {info.rows}, got {array.ndim} axes"
                )
            if array.shape[info.rows] != expected:
                raise RowCountError(f"input '{name}': expected {expected} rows, got {array.shape[info.rows]}")


__all__ = ["ReadyPlan"]
