"""Where a model came from."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pyrec_infer.errors import ModelError
from pyrec_infer.formats.reading import Stamp
from pyrec_infer.formats.registry import import_model
from pyrec_infer.formats.source import Imported


class Origin:
    """A model's file, which may be read several times and must be the same each time.

    Parameters
    ----------
    source, mmap, names_columns
        As of `import_model`.
    """

    def __init__(self, source: str | os.PathLike[str] | bytes, mmap: bool, names_columns: bool) -> None:
        self._asked = source, mmap, names_columns
        self._stamps: Mapping[str, Stamp] | None = None

    def read(self) -> Imported:
        """What is in it.

        Raises
        ------
        ModelError
            As `import_model`; also if a file has changed since it was read first.
        """
        imported = import_model(*self._asked)
        if self._stamps is not None and imported.stamps != self._stamps:
            raise ModelError("the model's file has changed since it was loaded")
        self._stamps = imported.stamps
        return imported

    def require(self, stamp: Stamp | None) -> None:
        """Refuse another file than the one that was read, or another state of it.

        Raises
        ------
        ModelError
        """
        if self._stamps is None or self._stamps.get("") != stamp:
            raise ModelError("the model's file has changed while it was read")


__all__ = ["Origin"]
