"""Two stages: retrieve candidates, rank them."""

from pyrec_infer.pipeline.pipeline import Pipeline, Recommendations
from pyrec_infer.pipeline.source import Source

__all__ = ["Pipeline", "Recommendations", "Source"]
