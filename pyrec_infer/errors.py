"""Typed errors; every error this package raises on purpose is one of these.

Messages name the model input, the row, what was expected and what was found. They never contain
the raw value of a feature, because features are often personal data and messages end up in logs.
"""

from __future__ import annotations

__all__ = [
    "BackendError",
    "DTypeError",
    "IdRangeError",
    "InputError",
    "MissingInputError",
    "ModelError",
    "PyrecError",
    "ResourceLimitError",
    "RowCountError",
    "SaveError",
    "SchemaError",
    "ShapeError",
    "UncoveredSchemaWarning",
    "UnexpectedInputError",
    "UnsupportedModelError",
]


class PyrecError(Exception):
    """Base class of every error of this package."""

    about: object | None = None
    """The node that the text names first, if it was made by `ir.fault`."""
    rule: str | None = None
    """What the text says about that node."""


class ModelError(PyrecError, ValueError):
    """The model file is damaged, inconsistent or not a model at all."""


class UnsupportedModelError(ModelError):
    """The model is valid but holds operators that nothing here can run; all of them are listed."""


class SchemaError(PyrecError, ValueError):
    """A schema contradicts itself, or is that of another model; all that is wrong is listed."""


class UncoveredSchemaWarning(UserWarning):
    """A schema that is saved, or served, has fewer golden rows than each of its fields should have."""


class UseAlternativeError(PyrecError):
    """A plan's result would not be exact, but that of its alternative is; no caller ever sees it."""


class BackendError(PyrecError, RuntimeError):
    """The backend that was asked for is unknown or cannot run on this machine."""


class ResourceLimitError(PyrecError, MemoryError):
    """A model or a call needs more memory than it may have, or than there is; nothing was changed."""


class SaveError(PyrecError, OSError):
    """A file cannot be written; what was there before is as it was."""


class InputError(PyrecError, ValueError):
    """A call's arguments do not fit the model."""


class MissingInputError(InputError):
    """An input that the model needs was not given."""


class UnexpectedInputError(InputError):
    """An input was given that the model never had."""


class DTypeError(InputError, TypeError):
    """An input has an element type that cannot be used without changing its values."""


class ShapeError(InputError):
    """An input has the wrong rank or the wrong size along an axis other than the rows."""


class RowCountError(ShapeError):
    """The inputs of one side do not have the same number of rows."""


class IdRangeError(InputError, IndexError):
    """An id is outside its table, or a number is none that its type holds: an id exactly, others finite.

    Parameters
    ----------
    message : str
    row : int, optional
        The first row where it is so; the text names it.
    """

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(message if row is None else f"{message} (row {row})")
        self.message = message
        self.row = row
