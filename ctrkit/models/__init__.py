"""The zoo: functions `(index, **options)` that return a `tf.keras.Model` from `ids` to `ctr`."""

from ctrkit.models.build import ZOO, build_model, find_model, takes_hp
from ctrkit.models.dcn_v2 import dcn_v2
from ctrkit.models.deepfm import deepfm
from ctrkit.models.logistic_regression import logistic_regression
from ctrkit.models.rank import rank_model
from ctrkit.models.wide_deep import wide_deep
from ctrkit.models.wide_deep_ensemble import wide_deep_ensemble

__all__ = [
    "ZOO",
    "build_model",
    "dcn_v2",
    "deepfm",
    "find_model",
    "logistic_regression",
    "rank_model",
    "takes_hp",
    "wide_deep",
    "wide_deep_ensemble",
]
