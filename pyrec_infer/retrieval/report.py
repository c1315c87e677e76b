"""What a retriever tells about itself."""

from __future__ import annotations

from pyrec_infer.retrieval.vectors import VectorForm
from pyrec_infer.store import Store
from pyrec_infer.tools.explain import Explanation


def explain_retriever(
    form: VectorForm, precision: str, store: Store, backend: str, threads: int
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
    """
    items, used = store.size(), store.taken()
    data = {
        "items": items,
        "width": form.width,
        "metric": form.metric,
        "precision": precision,
        "bytes_per_item": form.stride,
        "capacity": store.capacity(),
        "bytes": used * form.stride,
        "backend": backend,
        "threads": threads,
        "certified": True,
    }
    lines = [
        f"retriever of {items} items, {form.width} numbers and {form.stride} bytes each: "
        f"{used * form.stride / 1e6:.1f} MB in use",
        f"  metric {form.metric}, {backend}, {threads} thread{'s' if threads > 1 else ''}",
        f"  search {precision}: every product is computed in float32, the results are exact",
    ]
    return Explanation("\n".join(lines), data)


__all__ = ["explain_retriever"]
