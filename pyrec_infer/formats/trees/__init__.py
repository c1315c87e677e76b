"""Models of gradient-boosted trees in the text formats of the libraries that train them, to IR graphs."""

from pyrec_infer.formats.source import Format
from pyrec_infer.formats.trees.lightgbm import is_lightgbm, read_lightgbm
from pyrec_infer.formats.trees.xgboost import is_xgboost, read_xgboost

LIGHTGBM = Format("LightGBM", is_lightgbm, read_lightgbm)
XGBOOST = Format("XGBoost", is_xgboost, read_xgboost)

__all__ = ["LIGHTGBM", "XGBOOST"]
