"""Items by id: a record of bytes for each, while any number of threads read and change them."""

from pyrec_infer import extension
from pyrec_infer.store.base import Batch, Keys, Store, StoreView
from pyrec_infer.store.fallback import PythonStore
from pyrec_infer.store.ids import IdType


def make_store(stride: int, text: bool, room: int, native: bool) -> Store:
    """An empty store.

    Parameters
    ----------
    stride : int
        Bytes of a record.
    text : bool
        Whether ids are strings; else they are 64-bit numbers.
    room : int
        How many items will enter soon; more may.
    native : bool
        Whether the extension may be used.
    """
    if native and extension.native is not None:
        return extension.native.ItemStore(stride, text, room)
    return PythonStore(stride)


__all__ = ["Batch", "IdType", "Keys", "Store", "StoreView", "make_store"]
