"""Sizes and durations in units that fit them."""

from __future__ import annotations


def as_size(count: float) -> str:
    """Bytes as text: ``"912 bytes"``, ``"3.4 MB"``, ``"1.2 GB"``."""
    if count < 1000:
        return f"{count:.0f} bytes"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.5:
            return f"{count:.3g} {unit}"
    return f"{count / 1000:.3g} TB"


def as_duration(seconds: float) -> str:
    """Seconds as text: ``"0.4 s"``, ``"38 s"``, ``"12 min"``, ``"3.4 h"``, ``"5.2 days"``."""
    for limit, size, unit in ((99.5, 1, "s"), (99.5 * 60, 60, "min"), (72 * 3600, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.2g} {unit}"
    return f"{seconds / 86400:.3g} days"
