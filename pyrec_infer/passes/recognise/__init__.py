"""Patterns of recommendation models, one a file, and the pass that rewrites them all."""

from pyrec_infer.ir import Graph
from pyrec_infer.passes.common.rules import apply_rules, joined
from pyrec_infer.passes.recognise import (
    bag_fields,
    bag_lengths,
    broadcasts,
    concatenations,
    dice,
    field_values,
    hashed_texts,
    layers,
    outer_products,
    pair_dots,
    repeated_rows,
    row_partitions,
    scripted_bags,
    segment_tables,
    segments,
    sequenced_bags,
    token_counts,
    transposes,
    views,
)

RULES = joined(
    scripted_bags.RULES,
    sequenced_bags.RULES,
    repeated_rows.RULES,
    row_partitions.RULES,
    bag_lengths.RULES,
    bag_fields.RULES,
    field_values.RULES,
    hashed_texts.RULES,
    segments.RULES,
    segment_tables.RULES,
    views.RULES,
    transposes.RULES,
    outer_products.RULES,
    broadcasts.RULES,
    concatenations.RULES,
    pair_dots.RULES,
    layers.RULES,
    token_counts.RULES,
    dice.RULES,
)


def recognise(graph: Graph) -> Graph:
    """Rewrite the patterns that exporters spell in many ways to the one way that later passes know."""
    return apply_rules(graph, RULES)
