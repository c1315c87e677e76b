"""Catalogues: a store of items, what scores them, and what is told of both."""

from pyrec_infer.catalog.calls import CatalogCall
from pyrec_infer.catalog.catalog import Catalog
from pyrec_infer.catalog.part import ModelPart, Source
from pyrec_infer.catalog.stored import SavedItems, read_items

__all__ = ["Catalog", "CatalogCall", "ModelPart", "SavedItems", "Source", "read_items"]
