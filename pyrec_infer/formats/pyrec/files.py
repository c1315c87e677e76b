"""Saved models as a format of files."""

from __future__ import annotations

from pyrec_infer.formats.pyrec.decode import read_model
from pyrec_infer.formats.pyrec.encode import CATALOGUE, ITEMS, KIND
from pyrec_infer.formats.source import Format, Imported, Source
from pyrec_infer.formats.tensors import is_tensor_file, members, open_tensors


def _read(source: Source) -> Imported:
    """A saved model, or that of a saved catalogue, as it was read when it was loaded first.

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

        def own(name: str) -> bool:
            return file.kind == KIND or not name.startswith(ITEMS)

        content = file.content
        if file.kind == CATALOGUE:
            content, *_ = members(content, file.where, model=dict, items=dict)
        else:
            file.require_kind(KIND)
        file.require_room(own, ". Load it with mmap=True; the file must not change then")
        imported = read_model(file, content)
        file.require_used(own)
    return imported


PYREC = Format("pyrec", is_tensor_file, _read, opens=True)

__all__ = ["PYREC"]
