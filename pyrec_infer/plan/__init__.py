"""Plans: what they are, how a graph becomes one, what one costs."""

from pyrec_infer.plan.data import (
    DerivedPlan,
    Export,
    Import,
    Kind,
    Phase,
    Plan,
    PlanInput,
    ProductPlan,
    Runner,
)

__all__ = ["DerivedPlan", "Export", "Import", "Kind", "Phase", "Plan", "PlanInput", "ProductPlan", "Runner"]
