"""What each step of the pipeline changed on the way to a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pyrec_infer.ir import Graph
from pyrec_infer.passes import Aim, Change
from pyrec_infer.tools.explain import Explanation
from pyrec_infer.tools.flops import graph_flops

_SPARED = {Aim.MANY: "few candidates", Aim.HIDDEN: "all positions"}
"""The calls that do without the steps for an aim."""


class _Counter:
    """Counts what graphs hold; what one step leaves is what the next one finds."""

    def __init__(self) -> None:
        self._counted: dict[tuple[int, frozenset[str]], dict[str, int]] = {}

    def count(self, graph: Graph, request: frozenset[str]) -> dict[str, int]:
        key = id(graph), request
        if key not in self._counted:
            self._counted[key] = {"nodes": len(graph.nodes), **graph_flops(graph, request)}
        return self._counted[key]


def list_changes(changes: Sequence[Change]) -> list[dict[str, Any]]:
    """Plain data of what steps changed, in the order in which they ran.

    Returns
    -------
    list of dict
        ``stage``, ``step``, ``calls`` (empty for all, else those that are spared what others need), and
        ``before`` and ``after``: ``nodes``, and floating-point operations at the rates ``request``,
        ``item`` and ``pair``.
    """
    counter = _Counter()
    return [
        {
            "stage": change.stage,
            "step": change.step,
            "calls": [_SPARED[aim] for aim in Aim if aim in change.without],
            "before": counter.count(change.before, change.before_sides.request),
            "after": counter.count(change.after, change.after_sides.request),
        }
        for change in changes
    ]


def _cell(row: dict[str, Any], key: str) -> str:
    before, after = row["before"][key], row["after"][key]
    return f"{after:,}" if before == after else f"{before:,} -> {after:,}"


def with_changes(explanation: Explanation, changes: Sequence[Change]) -> Explanation:
    """An explanation that lists what steps changed, too: ``passes`` in its data, a table in its text."""
    rows = list_changes(changes)
    columns = ("nodes", "request", "item", "pair")
    table = [("step", *columns), *((row["step"], *(_cell(row, key) for key in columns)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "",
        "Passes: nodes, and floating-point operations for a request, and for a candidate",
    ]
    stages = ["stage", *(row["stage"] for row in rows)]
    calls = ["", *(f"  for {', '.join(row['calls'])}" if row["calls"] else "" for row in rows)]
    for stage, cells, note in zip(stages, table, calls, strict=True):
        first, *rest = zip(cells, widths, strict=True)
        padded = [f"{first[0]:<{first[1]}}", *(f"{cell:>{width}}" for cell, width in rest)]
        lines.append(f"    {stage:<6}  {'  '.join(padded)}{note}".rstrip())
    text = "\n".join([explanation.text, *lines])
    return replace(explanation, text=text, data={**explanation.data, "passes": rows})


__all__ = ["list_changes", "with_changes"]
