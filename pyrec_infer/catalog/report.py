"""What a catalogue tells about itself."""

from __future__ import annotations

from pyrec_infer.catalog.encoder import ItemEncoder
from pyrec_infer.catalog.scorer import Scorer
from pyrec_infer.retrieval.vectors import VectorForm
from pyrec_infer.tools.explain import Explanation


def explain_catalog(
    encoder: ItemEncoder,
    scorer: Scorer,
    items: int,
    capacity: int,
    used: int,
    attributes: int,
    vectors: VectorForm | None,
) -> Explanation:
    """Describe a catalogue.

    Parameters
    ----------
    encoder : ItemEncoder
    scorer : Scorer
    items : int
    capacity, used : int
        Records that the catalogue has room for, and those that are not free.
    attributes : int
        Bytes of the attributes of an item.
    vectors : VectorForm or None
        What is kept of an item's vector, if anything.
    """
    kept = 0 if vectors is None else sum(vectors.strides)
    pairs, stride = scorer.explain(), encoder.stride + attributes + kept
    search = scorer.search()
    layout = [
        {
            "value": field.value,
            "dtype": field.dtype.name,
            "shape": list(field.shape),
            "codec": field.codec or "exact",
            "offset": field.offset,
            "bytes": field.size,
        }
        for field in encoder.fields
    ]
    data = {
        "items": items,
        "precision": encoder.precision,
        "bytes_per_item": stride,
        "capacity": capacity,
        "bytes": used * stride,
        "record": layout,
        "item_steps": list(encoder.steps),
        "search": search,
        "vectors": None
        if vectors is None
        else {"width": vectors.width, "metric": vectors.metric, "bytes": kept},
    }
    lines = [
        f"catalogue of {items} items, {stride} bytes each: {used * stride / 1e6:.1f} MB in use, "
        f"{encoder.precision}",
        f"  computed when an item enters: {len(encoder.steps)} steps",
    ]
    lines += [
        f"    {item['offset']:>6} {item['bytes']:>6} bytes  {item['codec']:<5} "
        f"{item['dtype']}{item['shape']}  {item['value']}"
        for item in layout
    ]
    if vectors is not None:
        lines.append(
            f"    {kept:>13} bytes of a vector of {vectors.width} numbers, searched by {vectors.metric}"
        )
    lines.append(f"  the best of many items: {search['path']}, {search['why']}")
    return Explanation("\n".join([*lines, "", str(pairs)]), {**pairs.as_dict(), "catalog": data})


__all__ = ["explain_catalog"]
