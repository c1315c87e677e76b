"""Models of gradient-boosted trees in the text formats of the libraries that train them, to IR graphs."""

from pyrec_infer.formats.source import Format
from pyrec_infer.formats.trees.lightgbm import is_lightgbm, read_lightgbm

LIGHTGBM = Format("LightGBM", is_lightgbm, read_lightgbm)

__all__ = ["LIGHTGBM"]
