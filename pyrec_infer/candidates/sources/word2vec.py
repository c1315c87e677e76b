"""Vectors of gensim's objects, and of the files of the word2vec tool."""

from __future__ import annotations

import os
import re
import warnings
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyrec_infer.candidates.keyed import KeyedVectors
from pyrec_infer.errors import ModelError
from pyrec_infer.formats.reading import opened
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.limits import memory_errors_typed
from pyrec_infer.retrieval.retriever import Precision
from pyrec_infer.retrieval.vectors import Metric

_HEADER = re.compile(rb"(\d{1,19}) (\d{1,19})\s*\n")

_LONGEST_WORD = 1 << 16

_LONGEST_NUMBER = 64
"""Characters of a number in text."""

_CHUNK = 1 << 20


@memory_errors_typed
def from_gensim(
    model: Any, metric: Metric = "cosine", *, precision: Precision = "fp32", threads: int = 1
) -> KeyedVectors:
    """The vectors of gensim's ``KeyedVectors``, or of a model that has them as ``wv``.

    Parameters
    ----------
    model : object
        With ``vectors`` and ``index_to_key``.
    metric, precision, threads
        As for `KeyedVectors`.

    Returns
    -------
    KeyedVectors

    Raises
    ------
    ModelError
        If there are no such vectors.
    """
    vectors: ArrayLike | None = None
    for holder in (model, getattr(model, "wv", None)):
        vectors, keys = getattr(holder, "vectors", None), getattr(holder, "index_to_key", None)
        if vectors is not None and keys is not None:
            return KeyedVectors(vectors, keys, metric, precision=precision, threads=threads)
    raise ModelError("expected gensim's KeyedVectors, or a model that has them as wv")


@memory_errors_typed
def read_word2vec(
    path: str | os.PathLike[str],
    binary: bool = False,
    metric: Metric = "cosine",
    *,
    precision: Precision = "fp32",
    threads: int = 1,
) -> KeyedVectors:
    """The vectors of a file in the word2vec tool's format, as gensim's ``save_word2vec_format`` writes it.

    Parameters
    ----------
    path : path
        A regular file. Its first line is the number of vectors and their width; then follow words and
        vectors, in text each with a new line behind it.
    binary : bool
        Whether numbers are float32 of 4 bytes, and not text.
    metric, precision, threads
        As for `KeyedVectors`.

    Returns
    -------
    KeyedVectors
        Their ids are strings. Of a word that occurs several times the first vector counts, with a warning,
        as for gensim.

    Raises
    ------
    ModelError
        If the file is damaged, truncated or no such file, and where.
    """
    with (
        opened(path, "the file of vectors") as (descriptor, size),
        os.fdopen(os.dup(descriptor), "rb") as file,
    ):
        count, width = _read_header(file, size, 4 if binary else 2)
        read = _read_binary if binary else _read_text
        words, vectors = read(file, count, width)
        if file.read(_CHUNK).strip():
            raise ModelError(f"the file of vectors goes on behind the {count} vectors that its header names")
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise ModelError(f"vector {int(np.argmin(finite))}: expected finite numbers")
    first = {word: row for row, word in reversed(list(enumerate(words)))}
    if len(first) < count:
        warnings.warn(
            f"{count - len(first)} words occur again: their first vectors count", RuntimeWarning, stacklevel=3
        )
        kept = sorted(first.values())
        words, vectors = [words[row] for row in kept], vectors[kept]
    ids = np.asarray(words, object) if words else np.empty(0, "U1")
    return KeyedVectors(vectors, ids, metric, precision=precision, threads=threads)


def _read_header(file: IO[bytes], size: int, least: int) -> tuple[int, int]:
    """The number of vectors and their width; ``least`` bytes are there for each number."""
    head = file.readline(_LONGEST_NUMBER)
    found = _HEADER.fullmatch(head)
    if found is None:
        raise ModelError("expected a file of vectors that begins with their number and width")
    count, width = (int(part) for part in found.groups())
    if width == 0:
        raise ModelError("expected a width of at least 1 in the header, got 0")
    if count * (least * width + 1) > size:
        raise ModelError(f"the file of vectors has {size} bytes, its header names {count} vectors of {width}")
    return count, width


def _word(raw: bytes, row: int) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise ModelError(f"vector {row}: expected a word in UTF-8") from None


def _read_text(file: IO[bytes], count: int, width: int) -> tuple[list[str], NDArray[np.float32]]:
    longest = _LONGEST_WORD + width * _LONGEST_NUMBER
    vectors = np.empty((count, width), np.float32)
    words = []
    for row in range(count):
        line = file.readline(longest)
        word, *numbers = line.rstrip().split(b" ")
        if len(numbers) != width:
            raise ModelError(f"vector {row}: expected {width} numbers behind its word, got {len(numbers)}")
        # The last number of a file that was cut off may have had more digits.
        if not line.endswith(b"\n"):
            raise ModelError(f"vector {row}: expected a new line behind it, the file may be truncated")
        words.append(_word(word, row))
        try:
            with np.errstate(over="ignore"):
                vectors[row] = list(map(float, numbers))
        except ValueError as error:
            let_interrupts_pass(error)
            raise ModelError(f"vector {row}: expected numbers behind its word") from None
    return words, vectors


def _read_binary(file: IO[bytes], count: int, width: int) -> tuple[list[str], NDArray[np.float32]]:
    vectors = np.empty((count, width), np.float32)
    size = 4 * width
    words, data, at = [], b"", 0
    for row in range(count):
        if len(data) - at < size + _LONGEST_WORD:
            data, at = data[at:] + file.read(max(_CHUNK, size + _LONGEST_WORD)), 0
        end = data.find(b" ", at, at + _LONGEST_WORD)
        if end < 0 or len(data) - end - 1 < size:
            raise ModelError(
                f"vector {row}: expected a word, a space and {size} bytes, the file ends or has others"
            )
        # The tool ends vectors with a new line, gensim does not.
        words.append(_word(data[at:end].lstrip(b"\n"), row))
        vectors[row] = np.frombuffer(data, "<f4", width, end + 1)
        at = end + 1 + size
    if data[at:].strip():
        raise _goes_on(count)
    return words, vectors


def _goes_on(count: int) -> ModelError:
    return ModelError(f"the file of vectors goes on behind the {count} vectors that its header names")


__all__ = ["from_gensim", "read_word2vec"]
