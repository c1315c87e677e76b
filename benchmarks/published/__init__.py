"""Models written after their papers, with random weights, that measure this library against onnxruntime."""
