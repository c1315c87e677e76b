"""A model's contents before anything is known of them, and what a format makes of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pyrec_infer.errors import ModelError
from pyrec_infer.formats.reading import ExternalFiles, Stamp, read_file
from pyrec_infer.ir import Graph


@dataclass(frozen=True, slots=True)
class Source:
    """The contents of a model's file.

    Attributes
    ----------
    data : bytes
        Not empty; of a file whose format opens it, the first bytes.
    where : str
        What the file is called in messages.
    files : ExternalFiles or None
        The files beside it; None for a model that was given as bytes.
    names_columns : bool
        Whether a matrix is to be one input for each column, where the file has names for all of them.
    path : Path or None
        Of the file.
    stamp : tuple or None
        Of the file, as it was when it was opened.
    """

    data: bytes
    where: str
    files: ExternalFiles | None = None
    names_columns: bool = True
    path: Path | None = None
    stamp: Stamp | None = None

    @property
    def stamps(self) -> Mapping[str, Stamp]:
        """Of all files that were read, by path; those of a model in memory are none."""
        return {} if self.files is None or self.stamp is None else {"": self.stamp, **self.files.stamps}


@dataclass(frozen=True, slots=True)
class Options:
    """What a model is loaded with where the caller says nothing else.

    Attributes
    ----------
    precision : str
    columns : mapping of str to sequence of str
        Names for the columns of matrix inputs.
    schema : bytes
        Of raw rows, as JSON; empty for none.
    """

    precision: str = "fp32"
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    schema: bytes = b""


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
    options : Options
    stamps : mapping of str to tuple
        Of the files that were read.
    """

    graph: Graph
    dropped_inputs: frozenset[str] = frozenset()
    fixed_rows: int = 0
    presumed: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    options: Options = field(default_factory=Options)
    stamps: Mapping[str, Stamp] = field(default_factory=dict)


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
    opens : bool
        Whether `read` opens the file itself, which `identify` knows by its first bytes. It may then be of any
        length.
    """

    name: str
    identify: Callable[[bytes], bool]
    read: Callable[[Source], Imported]
    opens: bool = False


def open_source(
    model: str | os.PathLike[str] | bytes,
    mmap: bool,
    names_columns: bool,
    suffices: Callable[[bytes], bool],
) -> Source:
    """The contents of a path, or the bytes themselves.

    Parameters
    ----------
    model : path or bytes
    mmap : bool
        Whether files beside the model are mapped instead of copied; see `ExternalFiles`.
    names_columns : bool
        See `Source`.
    suffices : callable
        Whether the first bytes of a file are enough.

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
        data, stamp = read_file(path, where, suffices)
        source = Source(data, where, ExternalFiles(path.parent, mmap), names_columns, path, stamp)
    if not source.data:
        raise ModelError(f"{source.where} is empty")
    return source


__all__ = ["Format", "Imported", "Options", "Source", "open_source"]
