"""Saliency metrics, each defined as a chosen benchmark defines it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from augsal_transforms.metrics.presets import PRESETS, find_preset

if TYPE_CHECKING:
    from augsal_transforms.metrics.functions import auc_borji, auc_judd, auc_tuebingen, cc, ig, kld, nss, sauc, sim
    from augsal_transforms.metrics.table import METRICS, Metric, definitions

__all__ = [
    "METRICS",
    "PRESETS",
    "Metric",
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


# The presets need no torch: help texts list them. The functions and their table are imported when asked for (PEP 562).
def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "table" if name in ("METRICS", "Metric", "definitions") else "functions"
    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
