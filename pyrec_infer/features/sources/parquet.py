"""Parquet files that may be hostile, through pyarrow or polars, whichever is installed."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pyrec_infer.errors import SchemaError
from pyrec_infer.features.text import MOST_BYTES
from pyrec_infer.interrupts import let_interrupts_pass

MOST_ROWS = 1 << 24
_BATCH = 256
"""Rows that are unpacked at once: few, as one long string may stand for all of them in a small file."""

Columns = dict[str, list[Any]]


def read_bytes(path: Path, label: str) -> bytes:
    """A plain file, no larger than a schema's text may be.

    Raises
    ------
    SchemaError
    """
    # What is no plain file may have no end, or nobody who writes to it.
    if not path.is_file():
        raise SchemaError(f"{label}: expected a file")
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        let_interrupts_pass(error)
        raise SchemaError(f"{label}: it cannot be read") from None
    if len(data) > MOST_BYTES:
        raise SchemaError(f"{label}: expected at most {MOST_BYTES} bytes")
    return data


def list_folder(path: Path, label: str) -> list[Path]:
    """What a folder holds, in order of numbers at the ends of names; but for what is hidden."""
    try:
        found = [one for one in path.iterdir() if one.name[0] not in "._"]
    except OSError as error:
        let_interrupts_pass(error)
        raise SchemaError(f"{label}: expected a folder") from None
    return sorted(found, key=lambda one: (len(one.name), one.name))


def _weight(value: Any) -> int:
    """About the bytes that a value takes."""
    if isinstance(value, (str, bytes)):
        return 64 + len(value)
    if isinstance(value, dict):
        return 64 + sum(map(_weight, value.values()))
    return 64 + sum(map(_weight, value)) if isinstance(value, list) else 16


def _by_pyarrow(data: bytes, columns: Sequence[str] | None) -> Iterator[Columns]:
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(io.BytesIO(data))
    if file.metadata.num_rows > MOST_ROWS:
        raise SchemaError(f"expected at most {MOST_ROWS} rows")
    names = file.schema_arrow.names
    chosen = names if columns is None else [name for name in columns if name in names]
    yield {name: [] for name in chosen}
    for batch in file.iter_batches(_BATCH, columns=chosen):
        yield batch.to_pydict()


def _by_polars(data: bytes, columns: Sequence[str] | None) -> Iterator[Columns]:
    import polars

    names = list(polars.read_parquet_schema(io.BytesIO(data)))
    chosen = names if columns is None else [name for name in columns if name in names]
    table = polars.read_parquet(io.BytesIO(data), columns=chosen, n_rows=MOST_ROWS + 1)
    if len(table) > MOST_ROWS:
        raise SchemaError(f"expected at most {MOST_ROWS} rows")
    yield {name: [] for name in chosen}
    for begin in range(0, len(table), _BATCH):
        yield table.slice(begin, _BATCH).to_dict(as_series=False)


def _batches(data: bytes, columns: Sequence[str] | None) -> Iterator[Columns]:
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        pass
    else:
        yield from _by_pyarrow(data, columns)
        return
    try:
        import polars  # noqa: F401
    except ImportError:
        raise SchemaError("install pyarrow or polars to read Parquet files") from None
    yield from _by_polars(data, columns)


def read_parquet(path: Path, label: str, columns: Sequence[str] | None = None) -> Columns:
    """The columns of a table as plain data; of those that are named the ones that are there.

    Parameters
    ----------
    path : Path
        A file, or a folder of files whose rows follow each other.
    label : str
        What messages call it.
    columns : sequence of str, optional
        All without.

    Raises
    ------
    SchemaError
        It is no Parquet file, has more than 2^24 rows or holds more than 256 MiB, or neither pyarrow nor
        polars is installed.
    """
    parts = [one for one in list_folder(path, label) if one.suffix == ".parquet"] if path.is_dir() else [path]
    if not parts:
        raise SchemaError(f"{label}: expected Parquet files in the folder")
    found: Columns = {}
    weight = 0
    for part in parts:
        data = read_bytes(part, label)
        try:
            for batch in _batches(data, columns):
                weight += sum(_weight(values) for values in batch.values())
                if weight > MOST_BYTES:
                    raise SchemaError(f"expected values of at most {MOST_BYTES} bytes")
                for name, values in batch.items():
                    found.setdefault(name, []).extend(values)
        except SchemaError as error:
            raise SchemaError(f"{label}: {error}") from None
        except MemoryError:
            raise
        except Exception as error:
            let_interrupts_pass(error)
            raise SchemaError(f"{label}: expected a Parquet file") from None
    return found


__all__ = ["list_folder", "read_bytes", "read_parquet"]
