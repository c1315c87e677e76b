"""What requests of a catalogue give."""

from __future__ import annotations

from pyrec_infer.arguments import Inputs
from pyrec_infer.catalog.scorer import Scorer
from pyrec_infer.selection import FilteredItems


class AskedItems(FilteredItems):
    """Items that are scored for requests. See `Catalog`."""

    _scorer: Scorer
    _inputs: tuple[str, ...]

    @property
    def request_names(self) -> tuple[str, ...]:
        """The model's inputs that a request has to give."""
        return self._scorer.request_names

    @property
    def input_names(self) -> frozenset[str]:
        """What calls may give all inputs of the model by, whether a score reads them or not."""
        return self._scorer.signature.names_of(self._inputs)

    @property
    def request_fields(self) -> frozenset[str]:
        """What a request may give the inputs by that it has to give: with a schema, fields of raw rows."""
        return self._scorer.signature.names_of(self.request_names)

    def count_requests(self, request: Inputs) -> int:
        """How many requests the inputs of a call hold.

        Parameters
        ----------
        request : mapping of str to array_like
            Some of the inputs or all.

        Returns
        -------
        int

        Raises
        ------
        RowCountError
            If they differ in their rows.

        Examples
        --------
        >>> import pyrec_infer as pi
        >>> from pyrec_infer.bundled import MODEL, items, users
        >>> shop = pi.load(MODEL).catalog(items(5), candidates=["affinity"])
        >>> shop.count_requests({"hour": [7, 8, 9]})
        3
        """
        return self._scorer.count_requests(request)


__all__ = ["AskedItems"]
