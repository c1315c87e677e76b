"""Where candidates come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyrec_infer.arguments import as_count, regular
from pyrec_infer.catalog import Catalog
from pyrec_infer.errors import DTypeError, InputError, MissingInputError, ShapeError
from pyrec_infer.ir import Array, holds_strings
from pyrec_infer.model import Model
from pyrec_infer.retrieval import Retriever
from pyrec_infer.store import read_ids

Request: TypeAlias = Mapping[str, Any]

Retrieve: TypeAlias = Callable[[Request, int], Any]

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Source:
    """One place where candidates come from.

    Parameters
    ----------
    retriever : Retriever or callable
        What is searched; or a function of a request and a number that gives ids and scores, best first, as
        `FactorRecommender.recommend` and `Catalog.top_k` do: for several requests a row each. A score of
        minus infinity marks what is no result.
    query : str, callable or Model, optional
        For a retriever, where its query comes from: the input of the request with that name, a function of
        the request, or a model that reads the request's inputs by their names, as a tower of users does. A
        vector, or one for each request.
    output : str, optional
        Of a model with several outputs, the one that is the query.
    k : int
        How many candidates it gives; of a function that gives more, the first count.
    weight : float
        How much its ranks count where more candidates are found than are ranked.
    name : str, optional
        In results and explanations; its number by default.

    Raises
    ------
    InputError
        If parts do not fit together.
    """

    retriever: Retriever | Retrieve
    query: str | Callable[[Request], ArrayLike] | Model | None = None
    output: str | None = None
    k: int = 1000
    weight: float = 1.0
    name: str | None = None

    def __post_init__(self) -> None:
        as_count("k", self.k)
        if not isinstance(self.weight, (int, float)) or not np.isfinite(self.weight) or self.weight < 0:
            raise InputError("weight: expected a finite number of at least 0")
        searched = isinstance(self.retriever, Retriever)
        if not searched and not callable(self.retriever):
            kind = type(self.retriever).__name__
            raise DTypeError(f"retriever: expected a Retriever or a function of a request, got {kind}")
        if searched != (self.query is not None):
            raise InputError("query: expected with a Retriever, and with nothing else")
        if self.query is not None and not isinstance(self.query, (str, Model)) and not callable(self.query):
            kind = type(self.query).__name__
            raise DTypeError(f"query: expected a name, a function of a request or a Model, got {kind}")
        if isinstance(self.query, Model):
            names = [info.name for info in self.query.outputs]
            if self.output not in names and (self.output is not None or len(names) != 1):
                got = "none" if self.output is None else f"'{self.output}'"
                raise InputError(f"output: expected one of {', '.join(names)}, got {got}")
        elif self.output is not None:
            raise InputError("output: expected with a model as query alone")

    @property
    def names(self) -> frozenset[str] | None:
        """The inputs of a request that it reads; None where a function may read any."""
        if isinstance(self.query, Model):
            return frozenset(info.name for info in self.query.inputs)
        return frozenset((self.query,)) if isinstance(self.query, str) else None

    def shares_items(self, ranker: Catalog) -> bool:
        """Whether its items are those of a ranker, in the same store.

        Parameters
        ----------
        ranker : Catalog

        Returns
        -------
        bool

        Examples
        --------
        >>> import pyrec_infer as pi
        >>> from pyrec_infer.bundled import MODEL, items
        >>> shop = pi.load(MODEL).catalog(items(2), candidates=["affinity"], vectors=[[1.0], [2.0]])
        >>> pi.Source(shop.retriever, "taste").shares_items(shop)
        True
        """
        return isinstance(self.retriever, Retriever) and self.retriever.shares_items(ranker)

    def retrieve(
        self, request: Request, rules: Mapping[str, Any] | None = None, items: Retriever | None = None
    ) -> tuple[Array, Floats]:
        """The candidates of one request or of several.

        Parameters
        ----------
        request : mapping of str to array_like
        rules : mapping of str to object, optional
            For a retriever, further arguments of `Retriever.top_k`.
        items : Retriever, optional
            What is searched in the place of a retriever: its items as they are for this call.

        Returns
        -------
        tuple of ndarray
            Ids and scores, each of shape (K,) or (B, K).
        """
        if isinstance(self.retriever, Retriever):
            queries = regular("query", self._query(request))
            found = (self.retriever if items is None else items).top_k(queries, self.k, **(rules or {}))
            single = queries.ndim == 1
            return (found.ids[0], found.scores[0]) if single else (found.ids, found.scores)
        ids, scores = _checked(self.retriever(request, self.k))
        beyond = np.cumsum(~np.isneginf(scores), axis=-1) > self.k
        return ids, np.where(beyond, np.float32(-np.inf), scores)

    def _query(self, request: Request) -> Any:
        if isinstance(self.query, Model):
            names = {info.name for info in self.query.inputs}
            given = {name: value for name, value in request.items() if name in names}
            output = self.query.outputs[0].name if self.output is None else self.output
            return self.query._ranking.of_requests(given, output)
        if isinstance(self.query, str):
            if self.query not in request:
                raise MissingInputError(f"input '{self.query}' is missing: it is the query of a source")
            return request[self.query]
        assert self.query is not None
        return self.query(request)


def _checked(found: Any) -> tuple[Array, Floats]:
    """Ids and scores of what a function gave: these two, or the result of a `top_k`."""
    if hasattr(found, "ids") and hasattr(found, "scores"):
        found = found.ids, found.scores
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        raise DTypeError(f"a source gave {type(found).__name__}, expected ids and scores")
    ids, scores = regular("ids", found[0]), regular("scores", found[1])
    if ids.dtype.kind in "OST" and ids.size:
        ids = read_ids("ids", ids.reshape(-1)).reshape(ids.shape)
    if ids.shape != scores.shape or ids.ndim not in (1, 2):
        raise ShapeError(f"a source gave ids of shape {list(ids.shape)}, and scores of {list(scores.shape)}")
    if ids.dtype.kind not in "iu" and not holds_strings(ids) and ids.size:
        raise DTypeError(f"a source gave ids of {ids.dtype}, expected whole numbers or strings")
    if scores.dtype.kind not in "iuf" and scores.size:
        raise DTypeError(f"a source gave scores of {scores.dtype}, expected numbers")
    return ids, scores.astype(np.float32)


__all__ = ["Floats", "Request", "Source"]
