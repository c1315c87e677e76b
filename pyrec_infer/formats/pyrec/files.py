"""Saved models as a format of files."""

from __future__ import annotations

from pyrec_infer.formats.pyrec.decode import read_model
from pyrec_infer.formats.pyrec.encode import KIND
from pyrec_infer.formats.source import Format, Imported, Source
from pyrec_infer.formats.tensors import is_tensor_file, open_tensors


def _read(source: Source) -> Imported:
    """A saved model as it was read when it was loaded first.

    Raises
    ------
    ModelError
        If the file is damaged, or holds something else.
    ResourceLimitError
        If it is too large to be copied.
    """
    model = source.data if source.path is None else source.path
    mapped = source.files is not None and source.files.mapped
    with open_tensors(model, source.where, mapped) as file:
        file.require_kind(KIND)
        file.require_room()
        imported = read_model(file, file.content)
        file.require_used()
    return imported


PYREC = Format("pyrec", is_tensor_file, _read, opens=True)

__all__ = ["PYREC"]
