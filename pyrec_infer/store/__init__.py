"""Items by id: a record of bytes for each, while any number of threads read and change them."""

from pyrec_infer.store.attributes import Attribute, Attributes, Columns, read_attributes
from pyrec_infer.store.base import Batch, Keys, Rows64, Store, StoreView
from pyrec_infer.store.ids import IdType, as_those, read_ids
from pyrec_infer.store.items import State, StoredItems
from pyrec_infer.store.making import make_store
from pyrec_infer.store.saving import Unpacked, unpack_items

__all__ = [
    "Attribute",
    "Attributes",
    "Batch",
    "Columns",
    "IdType",
    "Keys",
    "Rows64",
    "State",
    "Store",
    "StoreView",
    "StoredItems",
    "Unpacked",
    "as_those",
    "make_store",
    "read_attributes",
    "read_ids",
    "unpack_items",
]
