"""Which items may be found, and which of the best ones are: filters over attributes, masks and ids;
caps, quotas and diversity."""

from pyrec_infer.selection.candidates import Asked
from pyrec_infer.selection.diversity import DPP, MMR
from pyrec_infer.selection.filters import Filter
from pyrec_infer.selection.items import FilteredItems

__all__ = ["DPP", "MMR", "Asked", "Filter", "FilteredItems"]
