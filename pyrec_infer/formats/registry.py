"""The kinds of files that models are loaded from."""

from __future__ import annotations

import os
from dataclasses import replace

from pyrec_infer.formats.identify import not_a_model
from pyrec_infer.formats.onnx import ONNX
from pyrec_infer.formats.pyrec import PYREC
from pyrec_infer.formats.source import Format, Imported, open_source
from pyrec_infer.formats.trees import LIGHTGBM, XGBOOST

FORMATS: tuple[Format, ...] = (PYREC, LIGHTGBM, XGBOOST, ONNX)
"""The first that knows the contents reads them. ONNX, which has no first bytes of its own, is last."""


def _suffices(head: bytes) -> bool:
    """Whether a file that begins so is of a format that opens it."""
    return any(kind.opens and kind.identify(head) for kind in FORMATS)


def import_model(
    model: str | os.PathLike[str] | bytes, mmap: bool = False, names_columns: bool = True
) -> Imported:
    """Read a model of any kind into a closed graph; its content says which kind, not its name.

    Parameters
    ----------
    model : path or bytes
        The file's path, or its contents.
    mmap : bool
        Whether external data, or a saved model, are mapped instead of copied; see `ExternalFiles`.
    names_columns : bool
        See `Source`.

    Returns
    -------
    Imported

    Raises
    ------
    ModelError
        The file is none of these kinds, and the error says what it is instead; or it is damaged or
        inconsistent; `UnsupportedModelError` if it is neither but holds something that has no meaning here.
    ResourceLimitError
        If the file has more than 2 GiB, or a saved model more than is copied.
    """
    source = open_source(model, mmap, names_columns, _suffices)
    for kind in FORMATS:
        if kind.identify(source.data):
            return replace(kind.read(source), stamps=source.stamps)
    raise not_a_model(source.data, source.where)


__all__ = ["FORMATS", "import_model"]
