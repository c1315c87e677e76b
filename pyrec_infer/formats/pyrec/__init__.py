"""Models as this package saves them: a graph as it was read, its weights, and what it is loaded with."""

from pyrec_infer.formats.pyrec.decode import read_model
from pyrec_infer.formats.pyrec.encode import CATALOGUE, ITEMS, packed_model, save_model
from pyrec_infer.formats.pyrec.files import PYREC

__all__ = ["CATALOGUE", "ITEMS", "PYREC", "packed_model", "read_model", "save_model"]
