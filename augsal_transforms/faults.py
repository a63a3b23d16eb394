"""Decide whether an error is the fault of one image, which is then left out, or of the system."""

from __future__ import annotations

import errno

# A full or failing disk, a lost mount, too many open files: the next image would fail in the same way.
_SYSTEM_ERRNO = frozenset(
    getattr(errno, name)
    for name in (
        "ENOSPC",
        "EDQUOT",
        "EROFS",
        "EIO",
        "ESTALE",
        "EMFILE",
        "ENFILE",
        "ENOMEM",
        "EFBIG",
        "ENODEV",
        "ENOTCONN",
    )
    if hasattr(errno, name)
)


def belongs_to_image(error: BaseException) -> bool:
    """Whether an error that one image raised costs that image alone.

    Args:
        error: The exception that was raised while the image was read, edited or scored.

    Returns:
        ``False`` for interrupts, for errors of the disk or the file system, and for a broken CUDA context. ``True``
        for everything else, an allocation that failed for this image included: it is left out, named and counted.
    """
    if not isinstance(error, Exception):
        return False
    if isinstance(error, OSError) and error.errno in _SYSTEM_ERRNO:
        return False
    return "CUDA error" not in str(error)
