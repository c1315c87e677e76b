"""A model's contents before anything is known of them, and what a format makes of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pyrec_infer.errors import ModelError
from pyrec_infer.formats.reading import ExternalFiles, read_file
from pyrec_infer.ir import Graph


@dataclass(frozen=True, slots=True)
class Source:
    """The contents of a model's file.

    Attributes
    ----------
    data : bytes
        Not empty.
    where : str
        What the file is called in messages.
    files : ExternalFiles or None
        The files beside it; None for a model that was given as bytes.
    names_columns : bool
        Whether a matrix is to be one input for each column, where the file has names for all of them.
    """

    data: bytes
    where: str
    files: ExternalFiles | None = None
    names_columns: bool = True


@dataclass(frozen=True, slots=True)
class Imported:
    """A graph with what only the file knows.

    Attributes
    ----------
    graph : Graph
        Every node in the form that the IR gives its operator.
    dropped_inputs : frozenset of str
        Inputs that the file declares beside a stored value; a call may name them only to give that
        value, so they are ignored.
    fixed_rows : int
        The size, above 1, that the first axes of all outputs and of an input have; 0 if there is none.
    presumed : mapping of str to str
        The inputs whose first axis is taken for the batch because nothing says which axis is, each with
        the name that the axis would have else.
    columns : mapping of str to sequence of str
        Matrices whose columns are inputs, with the names of these.
    """

    graph: Graph
    dropped_inputs: frozenset[str] = frozenset()
    fixed_rows: int = 0
    presumed: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of file that models come in.

    Attributes
    ----------
    name : str
    identify : callable
        Whether contents are of this kind; looks at a few bytes, runs and unpacks nothing, and never raises.
    read : callable
        The graph in a source that was identified. Raises `ModelError` for one that is damaged, and
        `UnsupportedModelError` for what has no meaning here.
    """

    name: str
    identify: Callable[[bytes], bool]
    read: Callable[[Source], Imported]


def open_source(
    model: str | os.PathLike[str] | bytes, mmap: bool = False, names_columns: bool = True
) -> Source:
    """The contents of a path, or the bytes themselves.

    Parameters
    ----------
    model : path or bytes
    mmap : bool
        Whether files beside the model are mapped instead of copied; see `ExternalFiles`.
    names_columns : bool
        See `Source`.

    Raises
    ------
    ModelError
        If there is nothing in it, or it is no regular file.
    ResourceLimitError
        If the file has more than 2 GiB.
    """
    if isinstance(model, bytes):
        source = Source(model, "the model", names_columns=names_columns)
    else:
        path = Path(model)
        where = f"model file {path.name!r}"
        source = Source(read_file(path, where), where, ExternalFiles(path.parent, mmap), names_columns)
    if not source.data:
        raise ModelError(f"{source.where} is empty")
    return source


__all__ = ["Format", "Imported", "Source", "open_source"]
