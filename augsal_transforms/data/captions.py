"""One caption from whatever a data set or a sample has in its place."""

from __future__ import annotations

import math
from typing import Any


def to_caption(value: Any, name: str = "prompt") -> str:
    """A caption as text.

    Args:
        value: A string, bytes in UTF-8, a list of captions of which the first is taken, or ``None`` or NaN for no
            caption.
        name: What to call the value in an error: the sample's key or the file.

    Returns:
        The caption, "" where there is none. A lone surrogate becomes U+FFFD.

    Raises:
        TypeError: If it is anything else.
    """
    if isinstance(value, (list, tuple)):
        return to_caption(value[0], name) if value else ""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    raise TypeError(
        f"`{name}` must be a caption (str), a list of captions or None, got {type(value).__name__}: {value!r}."
    )
