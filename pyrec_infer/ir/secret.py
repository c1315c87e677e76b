"""Keys that nobody but a hash may see."""

from __future__ import annotations

import hmac
from typing import Any, NoReturn


class Secret:
    """The bytes of a key: not shown, copied or pickled.

    >>> Secret(b"0123456789abcdef")
    <secret>
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "<secret>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._key, other._key)

    # The hash of a key would tell of it wherever it is shown.
    __hash__ = None  # type: ignore[assignment]

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a secret key cannot be copied or pickled")

    def reveal(self) -> bytes:
        """The key; whoever asks for it keeps it to themselves."""
        return self._key


__all__ = ["Secret"]
