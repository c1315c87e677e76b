"""The schema of raw rows: which fields they have, what is done to them, which inputs of a model they are."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pyrec_infer.arguments import described_columns, plain_columns
from pyrec_infer.errors import SchemaError
from pyrec_infer.features.fields import Combination, Field, ListField, Side, kinds_of
from pyrec_infer.features.fitting import absent, fed_twice, limits, misfits
from pyrec_infer.features.golden import MOST_ROWS, Golden, golden_of, uncovered, warn_if_uncovered
from pyrec_infer.features.infer import MOST_WORDS, infer_fields
from pyrec_infer.features.lower import lower
from pyrec_infer.features.plain import as_plain, read_plain
from pyrec_infer.features.sources import keras, nvtabular, sklearn, spark
from pyrec_infer.features.text import parse_json
from pyrec_infer.features.transforms.transform import Kind
from pyrec_infer.features.types import mistyped
from pyrec_infer.formats import import_model, model_source
from pyrec_infer.ir import Graph
from pyrec_infer.passes.load.prepend_features import Front
from pyrec_infer.tensor_info import tensor_info


@dataclass(frozen=True, eq=False)
class Fitted:
    """A schema as a model takes it.

    Attributes
    ----------
    front : Front
    fields : tuple of Field
    limits : mapping of str to int
        Fields whose raw whole numbers may be no larger, since the input that they feed would round them.
    """

    front: Front
    fields: tuple[Field, ...]
    limits: Mapping[str, int]


class Schema:
    """Fields of raw rows and the inputs of a model that they feed; immutable.

    Parameters
    ----------
    fields : sequence of Field, ListField or Combination
        In any order; names are those of raw rows.
    golden : Golden, optional
        Rows whose tensors are known; each model that is loaded with the schema checks them.

    Attributes
    ----------
    notes : tuple of str
        What `infer` could not tell; not part of the schema.
    uncovered : tuple of str
        The fields that have fewer than 16 golden rows; see `record_golden`.

    Raises
    ------
    SchemaError
        Lists all mistakes at once, each with its field.

    Examples
    --------
    >>> from pyrec_infer import Schema, features
    >>> city = features.Field("city", "request", to="city_id", transforms=[features.Vocabulary(["Rome"])])
    >>> Schema([city]).fields[0].name
    'city'
    >>> Schema([features.Field("city", "nobody")])
    Traceback (most recent call last):
    pyrec_infer.errors.SchemaError: field 'city': side: expected one of request, item, candidate
    """

    def __init__(self, fields: Sequence[Field | Combination], golden: Golden | None = None) -> None:
        given = tuple(fields)
        self.golden = golden
        self.notes: tuple[str, ...] = ()
        self.fields = tuple(item for item in given if isinstance(item, Field))
        self.combinations = tuple(item for item in given if isinstance(item, Combination))
        _require(mistyped(given))
        if golden is not None:
            _require(golden.mistakes())
        _require(self._own_mistakes())

    def __repr__(self) -> str:
        return f"<pyrec_infer.Schema of {len(self.fields)} fields>"

    @property
    def uncovered(self) -> tuple[str, ...]:
        return uncovered(self.fields, self.golden)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schema) and self.as_dict() == other.as_dict()

    def __hash__(self) -> int:
        return hash(self.to_json())

    def _own_mistakes(self) -> Iterator[str]:
        own: tuple[Field | Combination, ...] = (*self.fields, *self.combinations)
        lists = [item for item in self.fields if isinstance(item, ListField) and item.weights]
        names = Counter([item.name for item in own] + [item.weights for item in lists])
        for name, count in names.items():
            if count > 1:
                yield f"field '{name}': the name is given twice"
        for item in self.fields:
            yield from (f"field '{item.name}': {text}" for text in item.mistakes())
        known: dict[str, Field | Combination] = {item.name: item for item in self.fields}
        for made in self.combinations:
            dtypes = kinds_of(self.fields, [item for item in known.values() if isinstance(item, Combination)])
            yield from (f"field '{made.name}': {text}" for text in made.mistakes(known, dtypes))
            known[made.name] = made
        yield from fed_twice(self.fields, self.combinations)

    @classmethod
    def infer(
        cls,
        table: Any,
        model: Any,
        *,
        columns: Mapping[str, Sequence[str]] | None = None,
        sides: Mapping[str, Side] | None = None,
        side: Side = "item",
        words: int = MOST_WORDS,
    ) -> Schema:
        """A first schema to edit, from rows as a service has them and a model's inputs.

        A column feeds the input of its name. Strings of an input of ids get a `Vocabulary`, lists a
        `ListField` of the input's length or else of the longest list. What training made of numbers, of
        what is missing, and in which order words are, no table tells: see ``notes``.

        Parameters
        ----------
        table : mapping, list of mappings, table
            As for `Model.score`. Borrowed, and read whole.
        model : Model, path or bytes
        columns : mapping of str to sequence of str, optional
            For matrix inputs, the columns of the table that are theirs, in order.
        sides : mapping of str to str, optional
            The sides of fields.
        side : str
            That of all others.
        words : int
            The most values of a vocabulary.

        Returns
        -------
        Schema
            Its attribute ``notes`` says all that could not be told, and what was left out for it. Values of
            the table are in its vocabularies, and nowhere else.

        Raises
        ------
        InputError
            ``table`` is none.

        Examples
        --------
        >>> import pyrec_infer as pi
        >>> from pyrec_infer.bundled import MODEL
        >>> made = pi.Schema.infer({"item_id": [3, 5], "colour": ["red", "blue"]}, MODEL)
        >>> made.fields[0].dtype, made.notes[0]
        ('integer', "field 'colour': left out, no input has this name")
        """
        inputs = getattr(model, "inputs", None)
        if inputs is None:
            graph = import_model(model_source(model)).graph
            inputs = tuple(tensor_info(name, graph.infos[name]) for name in graph.inputs)
        found, others = described_columns(table)
        fields, notes = infer_fields(found, inputs, columns or {}, sides or {}, side, words)
        made = cls(fields)
        made.notes = (*(f"field '{name}': left out, it holds no field's values" for name in others), *notes)
        return made

    @classmethod
    def from_sklearn(
        cls, transformer: Any, to: str, sides: Mapping[str, Side] | None = None, side: Side = "item"
    ) -> Schema:
        """The schema of a fitted ColumnTransformer of scikit-learn.

        Parameters
        ----------
        transformer : ColumnTransformer
            Fitted on a table with names; of the usual scalers, encoders, discretisers and imputers, also in
            a Pipeline.
        to : str
            The model's input whose columns the transformer makes, in order.
        sides : mapping of str to str, optional
            The sides of fields.
        side : str
            That of all others.

        Returns
        -------
        Schema

        Raises
        ------
        SchemaError
            A transformer, or a choice of it, is none that is known; names the field.
        """
        return cls(sklearn.fields_of(transformer, to, sides or {}, side))

    @classmethod
    def from_keras(
        cls,
        model: str | os.PathLike[str] | bytes,
        to: Mapping[str, str] | None = None,
        sides: Mapping[str, Side] | None = None,
        side: Side = "item",
    ) -> Schema:
        """The schema of the preprocessing layers of a saved Keras 3 model.

        Parameters
        ----------
        model : path or bytes
            A ``.keras`` file of a functional model, or of a FeatureSpace. StringLookup, IntegerLookup,
            Hashing, HashedCrossing, Discretization, Normalization, Rescaling and CategoryEncoding are read
            with what they have learnt.
        to : mapping of str to str, optional
            For a layer, the model's input that takes its values; by default that of the layer's name. For
            ``"features"``, the input that takes all columns of a FeatureSpace.
        sides, side
            As of `from_sklearn`, for the Keras model's inputs.

        Returns
        -------
        Schema

        Raises
        ------
        SchemaError
            The file is damaged, or a layer is set in a way that is not known; names the layer.
        """
        data = model if isinstance(model, bytes) else Path(model).read_bytes()
        return cls(keras.fields_of(data, to or {}, sides or {}, side))

    @classmethod
    def from_nvtabular(
        cls,
        folder: str | os.PathLike[str],
        to: Mapping[str, str] | None = None,
        sides: Mapping[str, Side] | None = None,
        side: Side = "item",
        start_index: int = 0,
        joint: Mapping[str, Sequence[str]] | None = None,
    ) -> Schema:
        """The schema of the categories that NVTabular's Categorify has learnt.

        Parameters
        ----------
        folder : path
            A saved workflow, or a folder ``categories`` with files ``unique.<column>.parquet``, and
            ``meta.<column>.parquet`` since version 23.04. pyarrow or polars has to be installed.
        to : mapping of str to str, optional
            For a column, the model's input that takes its ids; by default that of its name.
        sides, side
            As of `from_sklearn`.
        start_index : int
            Categorify's, which no file tells.
        joint : mapping of str to sequence of str, optional
            For a file whose vocabulary columns share, ``{"a_b": ["a", "b"]}``, these columns.

        Returns
        -------
        Schema
            A `Field` for each column. Of a column of lists take its transforms for a `ListField`.

        Raises
        ------
        SchemaError
            A file is damaged, or its ids are given in a way that no file tells (``num_buckets``,
            ``single_table`` of several, combinations of columns), or a column is not there; names the column.
        """
        return cls(nvtabular.fields_of(Path(folder), to or {}, sides or {}, side, start_index, joint or {}))

    @classmethod
    def from_spark(
        cls,
        folder: str | os.PathLike[str],
        to: Mapping[str, str] | None = None,
        sides: Mapping[str, Side] | None = None,
        side: Side = "item",
        dtypes: Mapping[str, Kind] | None = None,
    ) -> Schema:
        """The schema of a pipeline that Spark ML has saved.

        Parameters
        ----------
        folder : path
            A PipelineModel or one stage: StringIndexerModel, OneHotEncoderModel, Bucketizer, VectorAssembler,
            ImputerModel, and the models of StandardScaler, MinMaxScaler, MaxAbsScaler and RobustScaler.
            What was trained on the features is left. pyarrow or polars has to be installed.
        to : mapping of str to str, optional
            For a column that stages make, the model's input that takes it, or whose columns do; without,
            what no other stage reads feeds the input of its name.
        sides, side
            As of `from_sklearn`, for the raw columns.
        dtypes : mapping of str to str, optional
            The types of raw columns where they are others than the first stage suggests: ``"integer"``
            for whole numbers that a StringIndexer took; of those that an Imputer fills with fractions.

        Returns
        -------
        Schema

        Raises
        ------
        SchemaError
            A file is damaged, a column is not there, or a stage is not known as it is set; names it.
        """
        return cls(spark.fields_of(Path(folder), to or {}, sides or {}, side, dtypes or {}))

    def fit(self, graph: Graph) -> Fitted:
        """What stands in front of a model.

        Parameters
        ----------
        graph : Graph
            The model, as it was imported.

        Returns
        -------
        Fitted

        Raises
        ------
        SchemaError
            If it is the schema of another model, or a secret key is not where it is said to be; lists all
            that does not fit.
        """
        fields = self.fields, self.combinations
        _require(chain(misfits(*fields, graph), absent(*fields)))
        infos = {name: graph.infos[name] for name in graph.inputs}
        return Fitted(
            lower(*fields, infos),
            self.fields,
            limits(*fields, infos),
        )

    def with_golden(self, rows: Any, expected: Mapping[str, ArrayLike]) -> Schema:
        """The same schema with rows whose tensors are known.

        Parameters
        ----------
        rows : mapping, list of mappings, table
            As for `Model.score`. Made up, as they are stored with the schema.
        expected : mapping of str to array_like
            What training made of them, for each input that the schema feeds.

        Returns
        -------
        Schema

        Raises
        ------
        InputError
            A row is none of the schema's; names the field and the row.
        """
        columns = plain_columns(self.fields, rows, MOST_ROWS + 1, whole=False)
        golden = golden_of(columns, {name: np.asarray(values) for name, values in expected.items()})
        return Schema([*self.fields, *self.combinations], golden)

    def as_dict(self) -> dict[str, Any]:
        """Plain data.

        Returns
        -------
        dict
        """
        return as_plain(self.fields, self.combinations, self.golden)

    def to_json(self) -> str:
        """The schema as JSON.

        Returns
        -------
        str
        """
        return json.dumps(self.as_dict(), indent=1, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Schema:
        """A schema from JSON.

        Parameters
        ----------
        text : str or bytes

        Returns
        -------
        Schema

        Raises
        ------
        SchemaError
            If it is no JSON, too large or too deep, gives a name twice in an object, or is no schema.
        """
        return cls(*read_plain(parse_json(text)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the schema as JSON.

        Parameters
        ----------
        path : path

        Warns
        -----
        UncoveredSchemaWarning
            A field has fewer than 16 golden rows: a draft, which nothing checks when it is served.
        """
        warn_if_uncovered(self.uncovered, 2)
        Path(path).write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Schema:
        """Read a schema from a file; see `from_json`.

        Parameters
        ----------
        path : path

        Returns
        -------
        Schema
        """
        return cls.from_json(Path(path).read_bytes())


def _require(mistakes: Iterator[str]) -> None:
    found = list(dict.fromkeys(mistakes))
    if found:
        raise SchemaError("\n".join(found))


__all__ = ["Schema"]
