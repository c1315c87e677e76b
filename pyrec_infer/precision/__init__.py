"""The error of lower precisions: measured at load, and how it is told."""

from pyrec_infer.precision.report import NotMeasurableError, PrecisionReport, compare_scores, sample_inputs

__all__ = ["NotMeasurableError", "PrecisionReport", "compare_scores", "sample_inputs"]
