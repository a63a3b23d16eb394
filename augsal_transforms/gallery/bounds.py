"""The bounds that a stored edit was made within: from its record, or from the calibration that the record names."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

from augsal_transforms.diffusion.calibration import Calibration
from augsal_transforms.diffusion.hub import locate_model
from augsal_transforms.photometry import PROPERTIES
from augsal_transforms.store.identity import calibration_fingerprint

Bounds = tuple[float, ...]


def bounds_of(metadata: dict[str, Any]) -> Bounds | None:
    """The largest moves of ``PROPERTIES`` that were allowed; ``None`` where a record does not say.

    Args:
        metadata: The metadata of a record, whose ``about`` a stranger may have written.
    """
    about, editor = metadata.get("about"), metadata["editor"]
    stated = about.get("bounds") if isinstance(about, dict) else None
    if isinstance(stated, list) and len(stated) == len(PROPERTIES) and all(map(_is_bound, stated)):
        return tuple(map(float, stated))
    # Records from before records stated their bounds.
    std = _known_std().get(str(editor.get("calibration")))
    config = editor.get("config")
    max_std = _to_number(config.get("max_std", config.get("deviations", 2.0)) if isinstance(config, dict) else None)
    return tuple(max_std * value for value in std) if std and _is_bound(max_std) else None


@cache
def _known_std() -> dict[str, Bounds]:
    folder = locate_model("bundled")
    known = (Calibration.published(), Calibration.load(folder, folder))
    return {calibration_fingerprint(one): tuple(one.std.tolist()) for one in known if one}


def _to_number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _is_bound(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < 1e300
