"""Measurements: rulers against general runtimes, the bundled model, kernels; training on real click logs."""
