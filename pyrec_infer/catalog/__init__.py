"""Catalogues: a store of items, what scores them, and what is told of both."""

from pyrec_infer.catalog.calls import CatalogCall
from pyrec_infer.catalog.catalog import Catalog
from pyrec_infer.catalog.part import ModelPart

__all__ = ["Catalog", "CatalogCall", "ModelPart"]
