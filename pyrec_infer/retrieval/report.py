"""What a retriever tells about itself."""

from __future__ import annotations

from pyrec_infer.retrieval.vectors import VectorForm
from pyrec_infer.store import Store
from pyrec_infer.tools.explain import Explanation


def explain_retriever(
    form: VectorForm, precision: str, store: Store, backend: str, threads: int, attributes: int
) -> Explanation:
    """Describe a retriever.

    Parameters
    ----------
    form : VectorForm
    precision : str
    store : Store
        The items.
    backend : str
    threads : int
    attributes : int
        Bytes of the attributes of an item.
    """
    items, used, stride = store.size(), store.taken(), sum(form.strides) + attributes
    computed = (
        "codes of seven bits choose the pairs whose products are computed in float32"
        if form.coded
        else "products are computed in float32"
    )
    data = {
        "items": items,
        "width": form.width,
        "metric": form.metric,
        "precision": precision,
        "bytes_per_item": stride,
        "capacity": store.capacity(),
        "bytes": used * stride,
        "backend": backend,
        "threads": threads,
        "certified": True,
    }
    lines = [
        f"retriever of {items} items, {form.width} numbers and {stride} bytes each: "
        f"{used * stride / 1e6:.1f} MB in use",
        f"  metric {form.metric}, {backend}, {threads} thread{'s' if threads > 1 else ''}",
        f"  search {precision}: {computed}; the results are those of all float32 products",
    ]
    return Explanation("\n".join(lines), data)


__all__ = ["explain_retriever"]
