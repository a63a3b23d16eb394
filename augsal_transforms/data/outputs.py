"""Protection of files: an output replaces only a file that the same function wrote before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from augsal_transforms.data.names import printable


def refuse_foreign(
    path: Path, is_own: Callable[[Path], bool], below: Path | None = None, *, overwrite: bool = False
) -> None:
    """Refuse an output path at which something else lies.

    Args:
        path: The file to be written.
        is_own: Whether an existing file was written by the caller before.
        below: The output folder; links between it and ``path`` are refused too.
        overwrite: Whether a file that the caller did not write may be replaced; a link or a folder never is.

    Raises:
        FileExistsError: If the path is a link, or a file that the caller did not write.
    """
    between = [part for part in path.parents if below is not None and part.is_relative_to(below) and part != below]
    if link := next((part for part in (path, *between) if part.is_symlink()), None):
        raise FileExistsError(f"{printable(link)} is a link, and no output is written through links; remove it.")
    if path.exists() and not (path.is_file() and (overwrite or is_own(path))):
        raise FileExistsError(
            f"{printable(path)} exists and was not written by this command; name another output, or remove it."
        )
