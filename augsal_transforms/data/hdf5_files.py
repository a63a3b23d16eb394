"""HDF5 files of strangers: read with h5py, nothing unpickled, and no link to another file followed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from augsal_transforms.data.names import printable
from augsal_transforms.faults import belongs_to_image

_MOST = 200_000_000  # elements of one array


@contextmanager
def open_hdf5(path: Path) -> Iterator[Any]:
    """The root group of an HDF5 file; whatever fails while it is open is a ``ValueError`` that names the file.

    Raises:
        ValueError: If the file is damaged, or something else.
        ImportError: If h5py is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError(
            f'{printable(path)} needs h5py to be read: pip install "augsal-transforms[pysaliency]", or [hdf5] without '
            "pysaliency itself."
        ) from error
    try:
        if not path.is_file():
            raise ValueError("it is not a regular file")
        with h5py.File(path, "r") as file:
            yield file
    except Exception as error:  # a damaged file fails anywhere in HDF5's parser
        if not belongs_to_image(error):
            raise
        raise ValueError(f"{printable(path)} is not a readable HDF5 file of pysaliency: {error}") from error


def find_array(group: Any, name: str, *, kinds: str = "biuf") -> Any:
    """An array of an HDF5 group, not read yet.

    Args:
        group: The group.
        name: Name of the array.
        kinds: The kinds of its elements, as in NumPy's ``dtype.kind``.

    Raises:
        ValueError: If it is missing, has elements of another kind or too many, or is stored in another file.
    """
    import h5py

    link = group.get(name, getlink=True)
    if link is None:
        raise ValueError(f"`{name}` is missing; it holds {', '.join(sorted(group)[:8]) or 'nothing'}")
    array = group[name] if isinstance(link, h5py.HardLink) else None
    if not isinstance(array, h5py.Dataset) or array.is_virtual or array.external:
        raise ValueError(f"`{name}` must be an array in this file; links to other places are not followed")
    if array.dtype.kind not in kinds or math.prod(array.shape) > _MOST:
        raise ValueError(
            f"`{name}` must be an array of at most {_MOST:,} {'texts' if 'O' in kinds else 'numbers'}, got "
            f"{array.dtype} {array.shape}"
        )
    return array


def find_group(group: Any, name: str) -> Any:
    """A group inside a group; ``None`` where there is none, or it is a link to another place."""
    import h5py

    inside = group.get(name) if isinstance(group.get(name, getlink=True), h5py.HardLink) else None
    return inside if isinstance(inside, h5py.Group) else None


def read_texts(group: Any, name: str) -> list[str]:
    """The texts of an array of an HDF5 group.

    Raises:
        ValueError: As ``find_array``, or if it holds something else than UTF-8 text.
    """
    values = np.asarray(find_array(group, name, kinds="OSU")[...]).ravel().tolist()
    return [to_text(value, name) for value in values]


def to_text(value: Any, name: str) -> str:
    """A text that HDF5 stores as bytes or as text.

    Raises:
        ValueError: If it is something else.
    """
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"`{name}` must be UTF-8 text: {error}") from error
    if not isinstance(value, str):
        raise ValueError(f"`{name}` must be text, got {type(value).__name__}")
    return value
