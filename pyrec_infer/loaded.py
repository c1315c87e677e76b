"""What is kept of how a model was loaded, and written to be loaded again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from pyrec_infer.arguments import as_column_names
from pyrec_infer.catalog import Catalog, SavedItems
from pyrec_infer.catalog import Source as CatalogSource
from pyrec_infer.codecs import PrecisionName, require_precision
from pyrec_infer.errors import InputError, ModelError
from pyrec_infer.formats import Imported, Options, Origin, save_model
from pyrec_infer.limits import memory_errors_typed
from pyrec_infer.ranking import Ranking
from pyrec_infer.schema import Schema

Columns: TypeAlias = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Kept:
    """Where a model came from, and what it was loaded with.

    Attributes
    ----------
    origin : Origin
    precision : str
    columns : mapping of str to sequence of str
    schema : Schema, optional
    """

    origin: Origin
    precision: PrecisionName
    columns: Columns
    schema: Schema | None

    def read(self) -> Imported:
        """The model as it was read, with what it was loaded with.

        Raises
        ------
        ModelError
            If its file has changed since.
        """
        schema = b"" if self.schema is None else self.schema.to_json().encode()
        return replace(self.origin.read(), options=Options(self.precision, self.columns, schema))


class Loaded:
    """A model that was read from a file."""

    _ranking: Ranking
    _notes: tuple[str, ...]

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
        origin = Origin(source, mmap, not named)
        imported = origin.read()
        stored = imported.options
        if columns is None:
            named = as_column_names("columns", stored.columns)
        if schema is None and stored.schema:
            schema = Schema.from_json(stored.schema)
        chosen = require_precision(stored.precision if precision is None else precision)
        self._kept = Kept(origin, chosen, named, schema)
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
        save_model(self._kept.read(), path)

    def _source(self, output: Any, by: Any) -> CatalogSource:
        return CatalogSource(self._kept.read, [*output] if isinstance(output, list) else output, by)

    def catalog_of(self, saved: SavedItems) -> Catalog:
        """The catalogue of the items of the file that this model was loaded from.

        Raises
        ------
        ModelError
            If it is another file, or they are damaged.
        """
        self._kept.origin.require(saved.file.source.stamp)
        try:
            source = self._source(saved.output, saved.by)
            part = self._ranking.part_of([*saved.items, *saved.candidates], source, self._notes)
            return Catalog.opened(part, saved)
        except InputError as error:
            raise ModelError(f"{saved.where}: {error}") from error


__all__ = ["Loaded"]
