"""The public interface: load a model, score candidates in one line."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.arguments import Inputs
from pyrec_infer.catalog import Catalog, read_items
from pyrec_infer.codecs import PrecisionName
from pyrec_infer.formats import verify_file
from pyrec_infer.formats.tensors import open_tensors, verify_tensors
from pyrec_infer.limits import memory_errors_typed
from pyrec_infer.model import Model, Source
from pyrec_infer.schema import Schema


def load(
    model: Source,
    *,
    threads: int = 1,
    columns: Mapping[str, Sequence[str]] | None = None,
    precision: PrecisionName | None = None,
    calibration: Inputs | None = None,
    max_bytes: int | None = None,
    mmap: bool = False,
    schema: Schema | None = None,
) -> Model:
    """Load and compile a model: an ONNX file, trees of LightGBM or XGBoost, or what `Model.save` wrote.

    Parameters
    ----------
    model : path or bytes
        The file, or its contents. External data has to lie in the file's folder.
    threads : int
        Threads that share the candidates of one call. They belong to the model and are started when
        first needed.
    columns : mapping of str to sequence of str, optional
        Names for the columns of matrix inputs, so that each can be on its own side. A name given to
        several columns in a row makes one input of that width. By default those that a saved model had, or
        the names that a file of trees has for its features.
    precision : str, optional
        By default that of a saved model, or ``"fp32"``. Of the dense layers that run for each candidate, but
        for the last, and of what catalogues store; see `Model.catalog`. ``"int8"`` rounds weights to 8 bits
        with a scale for each column, and the rows they meet with a scale for each row; layers are in
        ``"fp32"`` where a precision is one of catalogues alone, as ``"fp16"`` is. `Model.precision` tells
        what the layers' does to the scores.
    calibration : mapping of str to array_like, optional
        Inputs as for `Model.run`, to measure the error on; by default rows are made up. Not used
        otherwise. Borrowed, and kept for pickling.
    max_bytes : int, optional
        Memory that one call may work in, its results included, the model and the inputs not: about
        what its largest intermediate values take. A call that needs more ends with
        `ResourceLimitError`. By default 4 GiB, but no more than half of what the machine or the
        container has.
    mmap : bool
        Whether a saved model's weights, or external data, are mapped, so that processes share them, instead
        of copied. A mapped file must neither be changed nor shortened as long as the model is in use: its
        numbers would change with it, and a file that became shorter ends the process. Publish new weights
        under a new name. Without it up to 1 GiB of external data is copied, and of a saved model what half
        of the memory takes; more is refused.
    schema : Schema, optional
        Fields of raw rows that the model's inputs are made of. Then every call takes raw rows: a dict of
        values and lists, a list of dicts, arrays, or a table; see `Schema`. By default that of a saved
        model.

    Returns
    -------
    Model

    Raises
    ------
    ModelError
        The file is damaged or no model, and what it is instead; `UnsupportedModelError` if
        operators in it cannot be run, with a list of them all.
    ResourceLimitError
        The model's file has more than 2 GiB, or its external data more than is copied, or the system
        has no more memory.
    InputError
        There is no such precision, or ``calibration`` does not fit the model.
    SchemaError
        The schema is that of another model, or a secret key that it names is not there.

    Examples
    --------
    >>> import pyrec_infer as pi
    >>> pi.load(b"")
    Traceback (most recent call last):
    pyrec_infer.errors.ModelError: the model is empty
    """
    return Model(model, threads, columns, precision, calibration, max_bytes, mmap, schema)


@memory_errors_typed
def load_catalog(
    path: str | os.PathLike[str],
    *,
    threads: int = 1,
    max_bytes: int | None = None,
    mmap: bool = False,
    verify: bool = False,
) -> Catalog:
    """Open what `Catalog.save` has written: the model is compiled, and the items' records are taken as they
    are. `load` gives the model of such a file alone.

    Parameters
    ----------
    path : path
    threads, max_bytes, mmap
        Of the model, as for `load`. Records are copied, so that items can change.
    verify : bool
        Whether all checksums are compared first, as `verify` does.

    Returns
    -------
    Catalog
        With the same items in the same order, and the same results of all calls to the last bit, on the same
        kind of processor.

    Raises
    ------
    ModelError
        The file is damaged, or holds something else; `UnsupportedModelError` if this release reads records
        otherwise than the one that made them.
    ResourceLimitError
        As `load`.
    SchemaError
        As `load`.

    Examples
    --------
    >>> import os, tempfile
    >>> import pyrec_infer as pi
    >>> from pyrec_infer.bundled import MODEL, items, users
    >>> user = users(1, 500)[0]
    >>> shop = pi.load(MODEL).catalog({**items(500), "affinity": user.affinity})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "shop.pyrec")
    ...     shop.save(path)
    ...     again = pi.load_catalog(path)
    >>> (again.score(user.request) == shop.score(user.request)).all()
    np.True_
    """
    with open_tensors(path, f"file {Path(path).name!r}") as file:
        saved = read_items(file)
        if verify:
            verify_tensors(file)
        model = Model(Path(path), threads, None, None, None, max_bytes, mmap)
        return model.catalog_of(saved)


def score(model: Model | Source, request: Inputs, candidates: Inputs, **options: Any) -> NDArray[np.float32]:
    """Score candidates in one line; see `Model.score` and `load`.

    Parameters
    ----------
    model : Model, path or bytes
        A path or bytes are loaded anew in each call.
    request, candidates
        As for `Model.score`.
    **options
        ``offsets`` and ``output`` of `Model.score`, ``threads``, ``columns``, ``precision``,
        ``max_bytes``, ``mmap`` and ``schema`` of `load`.

    Returns
    -------
    ndarray of float32, shape (N,)
    """
    if not isinstance(model, Model):
        chosen = {
            key: options.pop(key)
            for key in ("threads", "columns", "precision", "max_bytes", "mmap", "schema")
            if key in options
        }
        model = load(model, **chosen)
    scores: NDArray[np.float32] = model.score(request, candidates, **options)
    return scores


def verify(path: str | os.PathLike[str]) -> None:
    """Compare the checksums in a saved file with what is in it, which loading does of its header alone.

    Parameters
    ----------
    path : path
        What a method ``save`` has written; it is read whole.

    Raises
    ------
    ModelError
        If the file is damaged, and which tensor of it.

    Examples
    --------
    >>> import os, tempfile
    >>> import pyrec_infer as pi
    >>> from pyrec_infer.bundled import MODEL
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.pyrec")
    ...     pi.load(MODEL).save(path)
    ...     pi.verify(path)
    """
    verify_file(path)
