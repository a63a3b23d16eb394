"""Names of images: one spelling for each, and which name of a file or table belongs to which image."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable
from pathlib import Path

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def to_name(text: str) -> str:
    r"""A file's stem or a table's key in the one spelling that names are compared in.

    Accented letters are composed (NFC), because macOS stores them decomposed. Bytes of a file name that are not
    UTF-8 are written as escapes such as ``\udce9``, so that every name can be printed, hashed and stored.
    """
    return unicodedata.normalize("NFC", printable(text))


def printable(path: object) -> str:
    """A path as text that any terminal or file takes: bytes that are not UTF-8 are written as escapes."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def without_ending(name: str) -> str:
    """A name without the ending of an image file, where it has one."""
    return name[: -len(Path(name).suffix)] if Path(name).suffix.lower() in IMAGE_ENDINGS else name


def match_names(keys: Iterable[str], names: Collection[str]) -> dict[str, str]:
    """Find the image that each key names.

    Args:
        keys: Keys of a table or stems of files, with or without an ending and folders.
        names: Names of images, in the spelling of ``to_name``.

    Returns:
        Key → name, for the keys that name one of the images. The first of these that is a name wins: the key
        itself, the key without its ending, and the key without its folders and ending.
    """
    found = {}
    for key in keys:
        name = to_name(key)
        short = without_ending(name)
        last = without_ending(name.replace("\\", "/").rpartition("/")[2])
        match = next((candidate for candidate in (name, short, last) if candidate in names), None)
        if match is not None:
            found[key] = match
    return found
