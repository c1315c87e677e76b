"""Turning what a caller passes into the arrays that a plan reads."""

from pyrec_infer.arguments.arrays import ONE_TYPE, as_array, regular
from pyrec_infer.arguments.gaps import read_gaps
from pyrec_infer.arguments.raw_columns import described_columns, plain_columns
from pyrec_infer.arguments.raw_rows import RawRows, raw_columns
from pyrec_infer.arguments.row_names import row_of, rows_named
from pyrec_infer.arguments.scalars import (
    as_bounds,
    as_column_names,
    as_count,
    as_names,
    as_threads,
    require_arrays,
    require_choice,
    require_out,
)
from pyrec_infer.arguments.signature import Signature
from pyrec_infer.arguments.tables import Inputs, as_columns, held
from pyrec_infer.arguments.texts import plain_names, read_column

__all__ = [
    "ONE_TYPE",
    "Inputs",
    "RawRows",
    "Signature",
    "as_array",
    "as_bounds",
    "as_column_names",
    "as_columns",
    "as_count",
    "as_names",
    "as_threads",
    "described_columns",
    "held",
    "plain_columns",
    "plain_names",
    "raw_columns",
    "read_column",
    "read_gaps",
    "regular",
    "require_arrays",
    "require_choice",
    "require_out",
    "row_of",
    "rows_named",
]
