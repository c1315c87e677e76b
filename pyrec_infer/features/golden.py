"""Rows whose tensors are known, so that a schema proves at load that it still makes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MOST_ROWS = 4096


@dataclass(frozen=True)
class Golden:
    """Raw rows, and what training made of them.

    Parameters
    ----------
    columns : mapping of str to list
        A list of raw values for each field: plain data, as JSON holds them. They are kept with the schema,
        so make them up instead of taking those of people.
    expected : mapping of str to list
        For each input that the schema feeds its rows.
    """

    columns: Mapping[str, Any]
    expected: Mapping[str, Any]

    @property
    def count(self) -> int:
        return max((len(values) for values in self.columns.values()), default=0)

    def mistakes(self) -> Iterator[str]:
        for part in (self.columns, self.expected):
            if not isinstance(part, Mapping):
                yield "golden rows: expected columns and tensors by name"
                return
            for name, values in part.items():
                if not isinstance(name, str) or not isinstance(values, list):
                    yield "golden rows: expected a list for each name"
                    return
        if not 0 < self.count <= MOST_ROWS:
            yield f"golden rows: expected 1 to {MOST_ROWS} rows"


__all__ = ["Golden"]
