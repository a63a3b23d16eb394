"""The images of a store by a fast hash of their pixels: SHA-256, which names them, takes forty times as long.

The store's folder ``fast-hashes`` has a file for each image, ``<aa>/<fast hash>``, with the image's name in it. Where
there is none, images are found by SHA-256. Whatever a file says, an edit is put only on the image it was made from.
"""

from __future__ import annotations

from pathlib import Path

from augsal_transforms.files import is_folder, make_folder, read_file, write_file
from augsal_transforms.store.keys import HASH

FOLDER = "fast-hashes"


def find_name(store: Path, fast: str) -> str:
    """Name of an image, by its ``fast_hash``; "" where the store does not say."""
    folder = store / FOLDER / fast[:2]
    try:
        content = read_file(folder / fast, 64) if is_folder(folder.parent) and is_folder(folder) else None
        name = (content or b"").decode()
    except (OSError, ValueError):
        return ""
    return name if HASH.fullmatch(name) else ""


def note_name(store: Path, fast: str, name: str) -> None:
    """Let ``find_name`` lead to an image.

    Raises:
        OSError: If the store cannot be written to, or a link leads out of it.
    """
    if find_name(store, fast) != name:
        write_file(make_folder(store, FOLDER, fast[:2]) / fast, name.encode())
