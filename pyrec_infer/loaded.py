"""What is kept of how a model was loaded, and written to be loaded again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from pyrec_infer.arguments import as_column_names
from pyrec_infer.codecs import PrecisionName, require_precision
from pyrec_infer.formats import Imported, Options, Origin, save_model
from pyrec_infer.limits import memory_errors_typed
from pyrec_infer.schema import Schema

Columns: TypeAlias = Mapping[str, Sequence[str]]


class Loaded:
    """A model that was read from a file."""

    def _read(
        self,
        source: str | os.PathLike[str] | bytes,
        columns: Columns | None,
        precision: PrecisionName | None,
        mmap: bool,
        schema: Schema | None,
    ) -> tuple[Imported, Columns, PrecisionName, Schema | None]:
        """What is in the file, and what the model is loaded with: what is given, or else what the file says.

        Nothing keeps what is in the file: the compiler may make other weights of these.
        """
        if precision is not None:
            require_precision(precision)
        named = as_column_names("columns", columns)
        self._origin = Origin(source, mmap, not named)
        imported = self._origin.read()
        stored = imported.options
        if columns is None:
            named = as_column_names("columns", stored.columns)
        if schema is None and stored.schema:
            schema = Schema.from_json(stored.schema)
        chosen = require_precision(stored.precision if precision is None else precision)
        self._loaded_with = chosen, named, schema
        return imported, named, chosen, schema

    @memory_errors_typed
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to one file that `load` reads: its graph and weights, the precision, the names of
        columns and the schema. Threads, limits and calibration are those of each load.

        Parameters
        ----------
        path : path
            What is there is replaced in one step once all is written, and else stays as it was.

        Raises
        ------
        SaveError
            The system cannot write the file.
        ModelError
            The model's own file, which is read again, has changed since it was loaded; or
            `UnsupportedModelError` if something in it has no place in such a file, which names it.

        Notes
        -----
        The file is in the safetensors format and holds no code. A secret key of a schema is never in it,
        only the place where the key is found. Equal models give equal bytes.

        Examples
        --------
        >>> import os, tempfile
        >>> import pyrec_infer as pi
        >>> from pyrec_infer.bundled import MODEL
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "model.pyrec")
        ...     pi.load(MODEL, precision="bf16").save(path)
        ...     pi.load(path).precision.precision
        'bf16'
        """
        precision, columns, schema = self._loaded_with
        options = Options(precision, columns, b"" if schema is None else schema.to_json().encode())
        save_model(replace(self._origin.read(), options=options), path)


__all__ = ["Loaded"]
