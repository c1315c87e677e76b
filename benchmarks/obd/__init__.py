"""Two ordinary ranking models, trained on the small Open Bandit Dataset and exported to ONNX.

The data: real click logs of a fashion shop, CC BY 4.0 by ZOZO, Inc.; Saito, Aihara, Matsutani, Narita,
"Open Bandit Dataset and Pipeline: Towards Realistic and Reproducible Off-Policy Evaluation",
arXiv:2008.07146. The rows are not part of this repository.
"""
