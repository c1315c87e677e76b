"""Retrievers: vectors by id, searched for the largest products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike

from pyrec_infer.arguments import as_count, as_threads, require_choice
from pyrec_infer.backends.select import make_pool, select_backend
from pyrec_infer.errors import IdRangeError, InputError
from pyrec_infer.ir import Array
from pyrec_infer.limits import current_budget, memory_errors_typed
from pyrec_infer.retrieval.changed import LastIndex
from pyrec_infer.retrieval.index import Index, make_index
from pyrec_infer.retrieval.ranking import Ranking, best_of, scope_of
from pyrec_infer.retrieval.ready import Ready, Retrieved
from pyrec_infer.retrieval.report import explain_retriever
from pyrec_infer.retrieval.saving import SavedVectors, as_scaled
from pyrec_infer.retrieval.vectors import METRICS, Floats, Metric, VectorForm, as_vectors, one_or_more
from pyrec_infer.selection import DPP, MMR, Filter
from pyrec_infer.selection.boosts import read_boosts
from pyrec_infer.selection.excluded import ExcludedRows, one_of, read_excluded
from pyrec_infer.selection.masks import as_mask
from pyrec_infer.selection.rules import NO_RULES, Search, best_under, read_rules
from pyrec_infer.store import Columns, Keys, Rows64, State, read_attributes
from pyrec_infer.tools.explain import Explanation
from pyrec_infer.top_k import Ranked, names_of

Precision: TypeAlias = Literal["fp32", "int8"]

PRECISIONS: tuple[Precision, ...] = get_args(Precision)

MOST_CODED = 1 << 17
"""Numbers of a vector whose products with codes fit in 32 bits, with room to spare."""


class Retriever(SavedVectors):
    """Vectors of items, and the exact search for the largest products with those of requests.

    Safe to use from any number of threads, also while items change: a search sees one state of the
    items. A change happens whole or not at all. Survives fork; the child's changes are its own. Cannot
    be pickled: `save` it, or make it anew from the vectors.

    Items are in the order in which their ids entered. An id that is put in again keeps its place.

    Parameters
    ----------
    item_vectors : array_like of numbers, shape (N, D)
        Copied, as float32. N may be 0.
    ids : array_like of whole numbers or strings, shape (N,), optional
        0 to N - 1 by default. Of an id that occurs several times, the last row counts.
    metric : {"ip", "cosine", "l2"}
        What a score is: the inner product; that of the vectors divided by their lengths, where a vector
        of zeros stays as it is; or minus the square of the distance.
    precision : {"fp32", "int8"}
        How items are searched: by all float32 products, or by products of codes of seven bits, after which
        only those pairs are multiplied in float32 that may be among the results. The results are the same.
        An item takes 4 D + 8 bytes, with codes 5.5 D + 28; the search with them takes a fraction of the time.
    threads : int
        Threads that share a search. They belong to the retriever and are started when first needed.
    attributes : mapping of str to array_like, or table, optional
        What filters, caps and quotas ask of items, one value for each: strings, numbers or booleans, some of
        which may be missing.

    Raises
    ------
    InputError
        There is no such metric or precision; or a number is not finite, or a vector not shorter than
        2**60, which names the row.
    ShapeError
        The vectors are no matrix, or there is not one id for each.

    Notes
    -----
    A product is one float32 sum over the numbers in order, of which every step is rounded once where the
    processor can (twice on the backends ``scalar`` and ``numba``). For ``"l2"`` it begins with minus half
    of the square of the item's length, rounded once, and the score is twice the product less the square
    of the query's length. So a pair has the same score whatever else is searched for. Items are
    compared by their products; equal ones are in the order of the items.

    Examples
    --------
    >>> import pyrec_infer as pi
    >>> retriever = pi.Retriever([[1, 0], [0, 1], [1, 1]], ids=["a", "b", "c"])
    >>> found = retriever.top_k([[3, 1]], k=2)
    >>> found.ids.tolist(), found.scores.tolist(), found.certified
    ([['c', 'a']], [[4.0, 3.0]], True)
    """

    _noun = "retriever"

    @memory_errors_typed
    def __init__(
        self,
        item_vectors: ArrayLike,
        ids: ArrayLike | None = None,
        metric: Metric = "ip",
        precision: Precision = "fp32",
        *,
        threads: int = 1,
        attributes: Any = None,
    ) -> None:
        vectors = as_vectors("item_vectors", item_vectors)
        columns = read_attributes(attributes)
        names = np.arange(len(vectors)) if ids is None else ids
        self._begin(vectors.shape, names, metric, precision, threads, columns)
        self._enter("item_vectors", vectors, names, columns)

    def _begin(
        self,
        shape: tuple[int, ...],
        ids: ArrayLike,
        metric: Metric,
        precision: Precision,
        threads: int,
        columns: Columns,
    ) -> None:
        threads = as_threads(threads)
        self._backend = select_backend()
        coded = require_form(metric, precision, shape[1], self._backend)
        self._pool = make_pool(self._backend, threads)
        self._precision = precision
        self._form = VectorForm(metric, shape[1], coded)
        self._last = None if self._backend == "numba" else LastIndex()
        super().__init__(self._form.strides, ids, shape[0], self._backend != "numba", columns)

    def __repr__(self) -> str:
        form = self._form
        return f"<pyrec_infer.Retriever items={len(self)} width={form.width} metric={form.metric!r}>"

    @memory_errors_typed
    def top_k(
        self,
        queries: ArrayLike,
        k: int = 100,
        *,
        allow: ArrayLike | None = None,
        exclude: ArrayLike | Sequence[ArrayLike] | None = None,
        where: Filter | None = None,
        max_per: Mapping[str, Any] | None = None,
        min_per: Mapping[str, Any] | None = None,
        diversity: MMR | DPP | None = None,
        scale: ArrayLike | None = None,
        boost: ArrayLike | None = None,
        deny: ArrayLike | Sequence[ArrayLike] | None = None,
    ) -> Retrieved:
        """The k items with the highest scores for each query, best first.

        Parameters
        ----------
        queries : array_like of numbers, shape (B, D) or (D,)
            One vector is a query alone.
        k : int
            How many; fewer items give fewer results.
        allow : array_like, optional
            The items that alone are searched, for all queries: ids, or a boolean for each item.
        exclude : array_like, or list of array_like, optional
            The items that no query gets: ids, or a boolean for each item; or for each query ids that it does
            not get. Ids that the retriever does not have are ignored, as in ``allow``.
        where : Filter, optional
            Items that alone are searched: what `where` and `filter` give.
        max_per, min_per, diversity : optional
            Caps, quotas and diversity, as for `Catalog.top_k`. Likeness is by default of the items' own
            vectors.
        scale, boost : array_like of float, optional
            A score is multiplied by the one, and the other is added, before scores are compared:
            ``score * scale + boost`` in float32. One number for each item in the order of `ids`, or for each
            query and item.
        deny : optional
            Another name of ``exclude``.

        Returns
        -------
        Retrieved
            Equal products, or with ``scale`` or ``boost`` equal scores: the earlier item first; NaN, which
            boosts that are infinite may leave, comes after every number. Where ``exclude`` leaves a query
            fewer results than others, what is beyond its count has the id 0 or an empty string, and the score
            minus infinity.

        Raises
        ------
        InputError
            If k is negative, or a number is not finite; ``boost`` may be infinite, but not NaN. If a filter
            is of other items, an attribute is unknown, or quotas cannot be met; caps that leave fewer than k
            are no error. `DTypeError` if ids, or what a rule is told by, are of another type. `ShapeError` if
            the vectors' width is another than that of the items, or there is not a number of ``scale`` or
            ``boost`` for each item.
        ResourceLimitError
            If the results are more than a call may hold.

        Examples
        --------
        >>> import pyrec_infer as pi
        >>> retriever = pi.Retriever([[0, 0], [3, 4]], metric="l2")
        >>> retriever.top_k([0, 1], k=5).scores.tolist()
        [[-1.0, -18.0]]
        >>> retriever.top_k([0, 1], k=1, boost=[0, 20]).ids.tolist()
        [[1]]
        """
        k = as_count("k", k)
        excluded = exclude if deny is None else one_of(exclude, deny)
        plain = {*map(type, (allow, boost, scale, max_per, min_per, diversity))} == {NoneType}
        if plain:
            ready = self._ready_for(where)
            found = None if ready is None else ready.found(self._id_type, queries, k, excluded)
            if found is not None:
                return found
        vectors = as_vectors("queries", one_or_more(queries), self._form.width)
        if plain:
            found = self._best(vectors, k, where, excluded)
            if found is not None:
                return found
        choice = self._choose_rows(where, allow, excluded, len(vectors))
        state = choice.state
        find = state.attributes.find
        rules = read_rules(find, max_per, min_per, diversity, k)
        whole = self._all(state)
        total = len(state.rows)
        boosts = read_boosts(boost, scale, total, len(vectors))
        ranking = Ranking(choice, whole, self._form, vectors, boosts)

        def ids(places: Rows64) -> Array:
            return self._id_type.shown(state.view.ids(0, places))

        if rules is NO_RULES:
            best = ranking.rank(min(k, total), None)
        else:
            search = Search(
                ranking.rank,
                total,
                lambda attribute, places: self._stored(choice, attribute, places),
                find,
                ids,
                lambda places: self._form.stored(state.view, state.rows[places]),
            )
            best = best_under(search, k, rules)
        return Retrieved(names_of(best, ids), best.scores, best.counts, ranking.refined, True)

    @memory_errors_typed
    def vectors(self, ids: ArrayLike | None = None, missing: Literal["error", "nan"] = "error") -> Floats:
        """The vectors of items, as products take them.

        Parameters
        ----------
        ids : array_like, optional
            All items, in order, by default.
        missing : {"error", "nan"}
            What becomes of ids that the retriever does not have: an error, or a vector of NaN.

        Returns
        -------
        ndarray of float32, shape (len(ids), D)
            A copy; with ``"cosine"`` those divided by their lengths.

        Raises
        ------
        IdRangeError
            Names the first id that the retriever does not have.

        Examples
        --------
        >>> import pyrec_infer as pi
        >>> pi.Retriever([[3, 4], [0, 0]], ["a", "b"], metric="cosine").vectors(["a"]).round(2).tolist()
        [[0.6..., 0.8...]]
        """
        require_choice("missing", missing, ("error", "nan"))
        keys, known = (None, None) if ids is None else self._id_type.keys("ids", ids)
        view = self._store.read(keys)
        rows = view.rows(0) if known is None else np.where(known, view.rows(0), -1)
        absent = rows < 0
        if missing == "error" and absent.any():
            raise IdRangeError("ids: expected ids that the retriever has", int(np.argmax(absent)))
        current_budget().require(2 * 4 * self._form.width * len(rows))
        found = np.full((len(rows), self._form.width), np.nan, np.float32)
        found[~absent] = self._form.stored(view, rows[~absent])
        return found

    @memory_errors_typed
    def upsert(self, vectors: ArrayLike, ids: ArrayLike, attributes: Any = None) -> None:
        """Put items in, or in the place of those of the same id.

        Parameters
        ----------
        vectors : array_like of numbers, shape (M, D)
        ids : array_like
            One for each. Of an id that occurs several times, the last row counts.
        attributes : mapping of str to array_like, or table
            All attributes that the retriever was made with, one value for each item.

        Raises
        ------
        InputError
            As when the retriever is made; `DTypeError` or `IdRangeError` if the ids are of another type
            than those that it has. Nothing is changed then.
        """
        self._enter(
            "vectors", as_vectors("vectors", vectors, self._form.width), ids, read_attributes(attributes)
        )

    def explain(self) -> Explanation:
        """How items are held and searched.

        Returns
        -------
        Explanation
            ``str()`` gives text, ``as_dict()`` plain data.
        """
        threads = 1 if self._pool is None else self._pool.threads
        attributes = self._attributes.stride
        return explain_retriever(self._form, self._precision, self._store, self._backend, threads, attributes)

    def _best(self, vectors: Floats, k: int, where: Any, exclude: Any) -> Retrieved | None:
        """What `top_k` finds where there are no rules but a filter and what is excluded; None where that is a
        mask, or the items change meanwhile."""
        state, index = self._index_of(where)
        excluded = None
        if exclude is not None:
            # Of one query a list of its own is the same as that of all.
            alone = type(exclude) is list and len(exclude) == len(vectors) == 1
            plain = self._id_type.plain_keys(exclude[0] if alone else exclude)
            if plain is None and as_mask("exclude", exclude) is not None:
                return None
            keys, owners = (
                read_excluded(self._id_type, exclude, len(vectors)) if plain is None else (plain, None)
            )
            rows = state.rows_of(keys)
            if rows is None:
                return None
            excluded = ExcludedRows(rows[0], owners)
        places, scores, counts, refined = best_of(index, self._form, vectors, k, excluded)
        width = places.shape[1]
        if excluded is None or min(counts.tolist(), default=width) == width:
            ids = self._id_type.shown(state.view.ids(0, places.reshape(-1))).reshape(places.shape)
        else:
            ids = names_of(
                Ranked(places, scores, counts), lambda some: self._id_type.shown(state.view.ids(0, some))
            )
        return Retrieved(ids, scores, counts, refined, True)

    def _ready_for(self, where: Any) -> Ready | None:
        """What is kept of the items as they were seen last; they may have changed."""
        state = self._seen
        # Only what is a filter of these items is ever kept.
        if state is None or not (where is None or type(where) is Filter):
            return None
        known: Ready | None = state.found("ready" if where is None else ("ready", where))
        return known

    def _index_of(self, where: Any) -> tuple[State, Index]:
        """The items as they are, and the index of those that a filter lets through."""
        state, known = self._seen, self._ready_for(where)
        if state is not None and known is not None and state.view.is_current():
            return state, known.items
        choice = self._choose_rows(where, None, None, 1)
        state, whole = choice.state, self._all(choice.state)

        def make() -> Ready:
            index = whole if where is None else scope_of(choice, whole, 1)
            return Ready(index, index.prepared(state.view, self._form, self._id_type.kind == "u"))

        return state, state.kept("ready" if where is None else ("ready", where), make).items

    def _all(self, state: State) -> Index:
        """All items: by an index of an older state where little has changed since."""

        def make() -> Index:
            last = self._last
            changed = None if last is None else last.changed(state, index)
            made = changed or index(state.rows)
            if last is not None and changed is None:
                last.keep(state, made)
            return made

        def index(rows: Rows64) -> Index:
            return make_index(self._form, state.view, rows, self._backend, self._pool)

        return state.kept("index", make)

    def _changing(self, count: int = 0) -> None:
        super()._changing(count)
        if self._last is not None:
            self._last.count(count)

    def _enter(self, label: str, vectors: Floats, ids: ArrayLike, attributes: Columns) -> None:
        """Make the records, then let the ids stand for them, in one step."""
        keys, chosen = self._entering(ids, len(vectors), "vector")
        self._let_in(label, vectors, keys, chosen, attributes)

    def _let_in(
        self,
        label: str,
        vectors: Floats,
        keys: Keys,
        chosen: Rows64 | None,
        attributes: Columns,
        scaled: bool = False,
    ) -> None:
        turn = self._known.begin()
        known = turn.value.encode(attributes, len(vectors))
        lengths = self._form.lengths(label, vectors)
        form = as_scaled(self._form, lengths) if scaled else self._form
        if not len(vectors):
            return
        if chosen is not None:
            lengths = lengths[chosen]
        batch = self._store.take(len(keys))
        arranged = self._form.metric != "cosine" and len(keys) >= _SIDE_BY_SIDE
        if arranged and lengths.max() > _UNEVEN * np.median(lengths):
            order = np.empty(len(keys), np.int64)
            order[np.argsort(-lengths, kind="stable")] = np.arange(len(keys))
            batch.arrange(order)
        for begin, records in form.encode(label, vectors, chosen):
            batch.write(begin, records)
        self._write_attributes(batch, known, chosen)
        self._put(keys, batch, turn)


_SIDE_BY_SIDE = 64
"""Vectors that a search looks at together."""

_UNEVEN = 1.5
"""Where the longest vector is so much longer than most, blocks of short ones may be passed over: then vectors
lie by their lengths."""


def require_form(metric: Metric, precision: Precision, width: int, backend: str) -> bool:
    """Whether vectors of so many numbers have codes; refuses what there is not."""
    require_choice("metric", metric, METRICS)
    require_choice("precision", precision, PRECISIONS)
    if precision == "int8" and width > MOST_CODED:
        raise InputError(f"precision: int8 takes vectors of up to {MOST_CODED} numbers")
    return backend != "numba" and precision == "int8"


__all__ = ["PRECISIONS", "Precision", "Retrieved", "Retriever", "require_form"]
