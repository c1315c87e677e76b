"""Which items may be found, and which of the best ones are: filters over attributes, masks and ids."""

from pyrec_infer.selection.filters import Filter
from pyrec_infer.selection.items import FilteredItems

__all__ = ["Filter", "FilteredItems"]
