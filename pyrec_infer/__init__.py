"""Recommendation models on CPUs: ONNX in, scores for very many candidates out."""
