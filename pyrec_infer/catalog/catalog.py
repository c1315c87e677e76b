"""Catalogues: items whose own part of a model is computed when they enter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import NoneType
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyrec_infer.arguments import Inputs, as_count, as_names, held, require_choice
from pyrec_infer.catalog.asked import AskedItems
from pyrec_infer.catalog.at_once import SearchAtOnce
from pyrec_infer.catalog.calls import CatalogCall, prepare_call
from pyrec_infer.catalog.encoder import ItemEncoder
from pyrec_infer.catalog.halves import Halves, cut_graph
from pyrec_infer.catalog.items import find_items, require_rows
from pyrec_infer.catalog.lists import ranking_of_lists
from pyrec_infer.catalog.part import ModelPart, sample_of
from pyrec_infer.catalog.report import explain_catalog
from pyrec_infer.catalog.saving import SavedCatalog
from pyrec_infer.catalog.scorer import Scorer
from pyrec_infer.catalog.search import Tally, ranking_of
from pyrec_infer.errors import InputError
from pyrec_infer.execution.calls import are_many
from pyrec_infer.ir import Array
from pyrec_infer.limits import memory_errors_typed
from pyrec_infer.retrieval import Retriever, SharedRetriever, VectorParts
from pyrec_infer.selection import DPP, MMR, Filter
from pyrec_infer.selection.boosts import read_boosts
from pyrec_infer.selection.excluded import is_by_request
from pyrec_infer.selection.rules import Search, best_under, read_rules
from pyrec_infer.store import Columns, read_attributes
from pyrec_infer.tools.changes import with_changes
from pyrec_infer.tools.explain import Explanation
from pyrec_infer.top_k import Ranked, TopK, named, only


class Catalog(SavedCatalog, AskedItems):
    """Items that a model scores for one request after another. Make one with `Model.catalog`.

    Everything that depends on an item alone is computed when the item enters and stored in a record;
    `score` and `top_k` compute what is left. Safe to use from any number of threads, also while
    items change: each score is of an item as it was before or after the change. A change happens
    whole or not at all, whatever interrupts it. Survives fork; the child's changes are its own.
    Cannot be pickled: `save` it, or make it anew from the items.

    Items are in the order in which their ids entered. An id that is put in again keeps its place.

    Notes
    -----
    Memory follows the items. A change has its new records beside the old ones until it is done, so
    items that are all replaced are best replaced in portions.
    """

    _noun = "catalogue"

    @memory_errors_typed
    def __init__(
        self,
        part: ModelPart,
        items: Inputs,
        ids: ArrayLike | None,
        candidates: Iterable[str],
        precision: str,
        attributes: Any = None,
        vectors: Any = None,
    ) -> None:
        halves, given = cut_graph(part, items, candidates, precision)
        encoder = ItemEncoder(halves, sample_of(given))
        arrays = encoder.checked_items(given)
        count = encoder.count_of(arrays)
        names = np.arange(count) if ids is None else ids
        columns = read_attributes(attributes)
        self._begin(halves, encoder, names, count, columns, vectors)
        self._enter(
            arrays, names, count, columns, None if self._vectors is None else self._vectors.first_items()
        )

    def _begin(
        self,
        halves: Halves,
        encoder: ItemEncoder,
        ids: ArrayLike,
        count: int,
        columns: Columns,
        vectors: Any,
    ) -> None:
        """Make what is to hold so many items, with ids, attributes and vectors of these types."""
        part, scorer = halves.part, Scorer(halves)
        self._halves, self._encoder, self._scorer = halves, encoder, scorer
        if are_many(count):
            scorer.search()  # the first call shall not have to work it out
        self._native, self._pool = part.backend != "numba", part.pool
        self._inputs = tuple(part.signature.infos)
        self._vectors = None if vectors is None else VectorParts(vectors, 1, part.backend)
        form = None if self._vectors is None else self._vectors.form
        strides = [encoder.stride, *([] if form is None else form.strides)]
        super().__init__(strides, ids, count, self._native, columns)
        self._item_call: Callable[..., NDArray[np.float32] | None] | None = None
        if self._native and self._id_type.kind == "i":
            call = scorer.positional(scorer.names, frozenset(scorer.request_names), None)
            self._item_call = call.in_backend(None, self._store, scorer.given.reader)
        self._at_once = SearchAtOnce(scorer, self._id_type, self._store, self._item_call)
        self._writer = encoder.writer(self._store) if self._native else None

    def __repr__(self) -> str:
        return f"<pyrec_infer.Catalog items={len(self)} bytes_per_item={self._encoder.stride}>"

    @property
    def retriever(self) -> Retriever:
        """The vectors of the items, of the same store: with the same ids, attributes and filters. What
        changes the items changes them in the same step.

        Raises
        ------
        InputError
            If the catalogue was made without vectors.
        """
        if self._vectors is None:
            raise InputError("retriever: expected a catalogue that was made with vectors")
        return SharedRetriever(self, self._vectors, self._pool)

    @memory_errors_typed
    def score(
        self,
        request: Inputs,
        ids: ArrayLike | None = None,
        candidates: Inputs | None = None,
        missing: Literal["error", "nan"] = "error",
    ) -> Any:
        """Score items for one request.

        Parameters
        ----------
        request : mapping of str to array_like
            All inputs that are neither the items' nor the candidates': one row each, or scalars.
        ids : array_like, optional
            The items; all of them, in the order of `ids`, by default.
        candidates : mapping of str to array_like, optional
            The inputs that were named as candidates', one row for each id.
        missing : {"error", "nan"}
            What becomes of ids that are not in the catalogue: an error, or a score that is NaN.

        Returns
        -------
        ndarray of float32, shape (len(ids),)
            What `Model.score` gives for the same items.

        Raises
        ------
        InputError
            As for `Model.score`; `IdRangeError` where an id is not in the catalogue.

        Examples
        --------
        >>> import pyrec_infer as pi
        >>> from pyrec_infer.bundled import MODEL, items, users
        >>> user = users(1, 500)[0]
        >>> catalog = pi.load(MODEL).catalog(items(500), candidates=["affinity"])
        >>> catalog.score(user.request, [7, 400], {"affinity": user.affinity[[7, 400]]}).shape
        (2,)
        """
        require_choice("missing", missing, ("error", "nan"))
        if type(request) is not dict or candidates is not None:
            request, candidates = held(request), held(candidates)
        if ids is not None and self._item_call is not None:
            found = self._scorer.given.scores(self._item_call, request, candidates, ids)
            if found is not None:
                return self._scorer.wanted.unpack(found)
        view, rows = find_items(self._store, self._id_type, ids)
        if missing == "error":
            require_rows(rows)
        return self._scorer.wanted.unpack(self._scorer.score_present(view.records, rows, request, candidates))

    @memory_errors_typed
    def top_k(
        self,
        request: Inputs,
        k: int = 100,
        ids: ArrayLike | None = None,
        exclude: ArrayLike | None = None,
        boost: ArrayLike | None = None,
        allow: ArrayLike | None = None,
        candidates: Inputs | None = None,
        missing: Literal["error", "skip"] = "error",
        where: Filter | None = None,
        scale: ArrayLike | None = None,
        max_per: Mapping[str, Any] | None = None,
        min_per: Mapping[str, Any] | None = None,
        diversity: MMR | DPP | None = None,
    ) -> Any:
        """The k items with the highest scores for one request or for each of several, best first.

        Parameters
        ----------
        request : mapping of str to array_like
            As for `score`; or B rows in each input for as many requests.
        ids : array_like, or list of array_like, optional
            As for `score`, the same for all requests; or for each request a list of its own. What comes for
            each of ``ids`` is then for each of the first request's, and then for those of the next.
        candidates : mapping of str to array_like, optional
            As for `score`; for several requests one row for each of ``ids`` and request, those of the first
            request first.
        k : int
            How many; fewer items give fewer results.
        exclude, allow : array_like, optional
            Items that are left out, or that alone are taken: ids, of which those that are not in the
            catalogue are ignored, or a boolean for each of ``ids``, or for each item. ``exclude`` may also
            be a list of ids for each request.
        where : Filter, optional
            Items that alone are taken: what `where` and `filter` give.
        max_per : mapping, optional
            Caps: for an attribute how many items may have the same value, ``{"seller": 3}``, or how many may
            have some values, ``{"seller": {"x": 1}}``. The ranked items are walked, best first, and those
            that break a cap are passed over. A missing value is under no cap.
        min_per : mapping, optional
            Quotas: for one attribute how many items have to have a value, ``{"seller": {"x": 2}}``. Of all
            lists that meet them, and the caps of the same attribute, that with the largest sum of scores.
        diversity : MMR or DPP, optional
            What chooses among the best; then items are in the order in which they are chosen.
        scale, boost : array_like of float, optional
            A score is multiplied by the one, and the other is added, before scores are compared:
            ``score * scale + boost`` in float32. One number for each of ``ids``, or for each item; or for
            each request and these.
        missing : {"error", "skip"}
            What becomes of ``ids`` that are not in the catalogue: an error, or they are left out.

        Returns
        -------
        TopK or Ranked
            Ids of the items; `Ranked`, with a row for each request, where the request is a list of raw rows,
            its inputs have another number of rows than one, or ``ids`` are lists. Equal scores: the earlier
            of ``ids``, or in the catalogue's order, first. NaN comes after every number.

        Raises
        ------
        InputError
            As for `score`, and of rules as for `Retriever.top_k`; `RowCountError` where the inputs of the
            requests differ in their rows.

        Examples
        --------
        >>> import numpy as np
        >>> import pyrec_infer as pi
        >>> from pyrec_infer.bundled import MODEL, items, users
        >>> user = users(1, 500)[0]
        >>> catalog = pi.load(MODEL).catalog(items(500), ids=range(1000, 1500), candidates=["affinity"])
        >>> catalog.top_k(user.request, 3, candidates={"affinity": user.affinity}).count
        3
        >>> shop = pi.load(MODEL).catalog({**items(500), "affinity": user.affinity})
        >>> several = {name: np.repeat(value, 2, axis=0) for name, value in user.request.items()}
        >>> shop.top_k(several, 3).ids.shape
        (2, 3)
        >>> shop.top_k(several, 3, ids=[[7, 400], [20, 30, 40, 50]]).counts.tolist()
        [2, 3]
        """
        k = as_count("k", k)
        require_choice("missing", missing, ("error", "skip"))
        further = boost, allow, scale, max_per, min_per, diversity
        if {*map(type, further)} == {NoneType}:
            found = self._best_at_once(request, candidates, k, ids, exclude, where)
            if found is not None:
                return found
        request, candidates = held(request), held(candidates)
        several = any(x is not None and is_by_request(x) for x in (ids, exclude))
        several |= any(x is not None and np.ndim(x) > 1 for x in (boost, scale))
        requests = self._scorer.count_requests(request) if several else 1
        choice = self._choose(ids, where, allow, exclude, requests)
        find = choice.attributes.find
        rules = read_rules(find, max_per, min_per, diversity, k)
        if missing == "error" and choice.whole is None:
            require_rows(choice.rows)
        total = len(choice.rows)
        bounds, tally = choice.bounds, Tally()
        form = None if self._vectors is None else self._vectors.form
        boosts = read_boosts(boost, scale, total, requests if bounds is None else None)
        search = Search(
            ranking_of(self._scorer, choice, request, candidates, boosts, tally)
            if bounds is None
            else ranking_of_lists(self._scorer, choice, bounds, request, candidates, boosts, tally),
            total,
            lambda attribute, places: self._stored(choice, attribute, places),
            find,
            lambda places: self._id_type.shown(choice.view.ids(0, places)),
            None if form is None else lambda places: form.stored(choice.view, choice.rows[places]),
        )
        best = named(best_under(search, k, rules), search.ids).found_by(tally.refined)
        one = len(best.counts) == 1 and bounds is None and not isinstance(request, (list, tuple))
        return only(best) if one else best

    def _best_at_once(
        self, request: Inputs, candidates: Inputs | None, k: int, ids: Any, exclude: Any, where: Any
    ) -> TopK | Ranked | None:
        """The best by nothing but scores, ids and a filter; None where calls need a closer look."""
        if ids is None:
            return self._at_once.of_all(self._read, request, candidates, k, exclude, where)
        if where is not None:
            return None
        if type(ids) is list and ids and type(ids[0]) in (list, np.ndarray):
            alone = exclude is None and candidates is None
            return self._at_once.of_lists(request, k, ids) if alone else None
        return self._at_once.of_ids(request, candidates, k, ids, exclude)

    @memory_errors_typed
    def upsert(
        self, items: Inputs, ids: ArrayLike, attributes: Any = None, vectors: ArrayLike | None = None
    ) -> None:
        """Put items in, or in the place of those of the same id.

        Parameters
        ----------
        items : mapping of str to array_like
            The inputs that the catalogue was made with, one row for each id.
        ids : array_like
            Of an id that occurs several times, the last row counts.
        attributes : mapping of str to array_like, or table
            All attributes that the catalogue was made with, one value for each item.
        vectors : array_like of numbers, shape (M, D)
            Where the catalogue was made with vectors, one for each item.
        """
        if self._vectors is None and vectors is not None:
            raise InputError("vectors: expected with a catalogue that was made with vectors alone")
        self._changing()
        items, columns = held(items), read_attributes(attributes)
        if not self._put_at_once(items, ids, columns, vectors):
            arrays = self._encoder.item_arrays(items)
            self._enter(arrays, ids, self._encoder.count_of(arrays), columns, vectors)

    @memory_errors_typed
    def prepare(
        self,
        request_names: Sequence[str],
        candidate_names: Sequence[str] = (),
        max_rows: int | None = None,
    ) -> CatalogCall:
        """A callable for repeated small calls: names are looked up once.

        Parameters
        ----------
        request_names, candidate_names : sequence of str
            Inputs in the order in which the arrays will be given.
        max_rows : int, optional
            Calls with more items are refused.

        Returns
        -------
        CatalogCall
        """
        request_names = as_names("request_names", request_names)
        candidate_names = as_names("candidate_names", candidate_names)
        max_rows = None if max_rows is None else as_count("max_rows", max_rows)
        return prepare_call(
            self._scorer, self._store, self._id_type, self.score, request_names, candidate_names, max_rows
        )

    def explain(self, passes: bool = False) -> Explanation:
        """What a score does, and what a record holds.

        Parameters
        ----------
        passes : bool
            Whether to list what each step of the compiler changed, from the model's graph to the plan of a
            score: nodes and work before and after. It is compiled again for that.

        Returns
        -------
        Explanation
            ``str()`` gives text, ``as_dict()`` plain data with ``catalog`` besides what
            `Model.explain` gives.
        """
        store, form = self._store, None if self._vectors is None else self._vectors.form
        sizes = store.size(), store.capacity(), store.taken()
        made = explain_catalog(self._encoder, self._scorer, *sizes, self._attributes.stride, form)
        return with_changes(made, self._scorer.changes()) if passes else made

    def _put_at_once(self, items: Inputs, ids: ArrayLike, attributes: Columns, vectors: Any) -> bool:
        """Do a change with nothing unusual without Python in the way; else False, and nothing has changed."""
        # Ids that are unsigned need a closer look than it takes.
        if self._writer is None or self._id_type.kind == "u":
            return False
        if not (isinstance(ids, list) or (isinstance(ids, np.ndarray) and ids.ndim == 1)):
            return False
        arrays = self._scorer.given.of_items(items)
        if arrays is None or len(attributes) != len(self._attributes):
            return False
        if self._vectors is not None and len(ids) > _AT_ONCE:
            return False
        own = None if self._vectors is None else self._vectors.records(self._vectors.read(vectors, len(ids)))
        self._changing(len(ids))
        if not attributes:
            return self._writer.put(arrays, ids, own)
        turn = self._known.begin()
        rest = turn.value.encode(attributes, len(ids))
        done = self._writer.put(arrays, ids, rest if own is None else np.hstack([own, rest]))
        if done:
            self._forget_old_words(turn)
        return done

    def _changing(self, count: int = 0) -> None:
        super()._changing(count)
        if self._vectors is not None:
            self._vectors.changing(count)

    def _enter(
        self, arrays: Mapping[str, Array], ids: ArrayLike, count: int, attributes: Columns, vectors: Any
    ) -> None:
        """Compute the items' records, then let the ids stand for them, in one step."""
        keys, chosen = self._entering(ids, count, "item")
        turn = self._known.begin()
        known = turn.value.encode(attributes, count)
        own = None if self._vectors is None else self._vectors.read(vectors, count)
        if count == 0:
            return
        batch = self._store.take(len(keys))
        if self._writer is None or not self._writer.write(batch, self._encoder.block(arrays, chosen)):
            for begin, records in self._encoder.encode(arrays, chosen, count):
                batch.write(begin, records)
        if self._vectors is not None and own is not None:
            self._vectors.write(batch, own, chosen)
        self._write_attributes(batch, known, chosen)
        self._put(keys, batch, turn)


_AT_ONCE = 1 << 12
"""Items whose vectors' records may lie in memory together before they are put in."""


__all__ = ["Catalog"]
