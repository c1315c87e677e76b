"""Schemas of raw rows, what they are checked against, and how their golden rows are recorded."""

from pyrec_infer.schema.schema import Fitted, Schema

__all__ = ["Fitted", "Schema"]
