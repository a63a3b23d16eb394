"""Saliency metrics, each defined as a chosen benchmark defines it."""

from augsal_transforms.metrics.functions import auc_borji, auc_judd, auc_tuebingen, cc, ig, kld, nss, sauc, sim
from augsal_transforms.metrics.presets import PRESETS, definitions, find_preset

__all__ = [
    "PRESETS",
    "auc_borji",
    "auc_judd",
    "auc_tuebingen",
    "cc",
    "definitions",
    "find_preset",
    "ig",
    "kld",
    "nss",
    "sauc",
    "sim",
]
