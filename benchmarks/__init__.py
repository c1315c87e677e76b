"""Measurements: kernels, the bundled model against onnxruntime, and training on real click logs."""
