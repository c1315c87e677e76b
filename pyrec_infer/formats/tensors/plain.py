"""Plain data of a JSON text, taken only as they are expected."""

from __future__ import annotations

from typing import Any

from pyrec_infer.errors import ModelError

_LOWEST, _HIGHEST = -(1 << 63), (1 << 63) - 1


def members(data: Any, where: str, **kinds: type) -> list[Any]:
    """The values of an object that has exactly these names, each of its type, in the order given.

    Raises
    ------
    ModelError

    Examples
    --------
    >>> members({"b": [], "a": 1}, "the file", a=int, b=list)
    [1, []]
    """
    if type(data) is not dict or data.keys() != kinds.keys():
        raise ModelError(f"{where}: expected an object with {', '.join(kinds)}")
    for name, kind in kinds.items():
        if kind is not object and type(data[name]) is not kind:
            got = type(data[name]).__name__
            raise ModelError(f"{where}, {name}: expected {kind.__name__}, got {got}")
    return [data[name] for name in kinds]


def texts_of(data: Any, where: str) -> tuple[str, ...]:
    """A list of strings."""
    if type(data) is not list or not all(type(item) is str for item in data):
        raise ModelError(f"{where}: expected a list of strings")
    return tuple(data)


def whole_of(data: Any, where: str, least: int = _LOWEST, most: int = _HIGHEST) -> int:
    """A whole number."""
    if type(data) is not int or not least <= data <= most:
        raise ModelError(f"{where}: expected a whole number from {least} to {most}")
    return data


__all__ = ["members", "texts_of", "whole_of"]
