"""Training and held-out images: a data set's own splits, or a fifth of it held out by name."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from pathlib import Path

from augsal_transforms.data.fixations import FixatedFolder
from augsal_transforms.data.layouts import find_layout

PARTS = 5  # one of which is held out


def open_splits(folder: str | Path) -> tuple[FixatedFolder, FixatedFolder, bool]:
    """Open the training and the held-out images of a data set with fixations, of any layout.

    MIT1003 and CAT2000 are published undivided, and every paper divides them anew: here ``hold_out`` does.

    Returns:
        The training images, the held-out images, and whether the division is the data set's own.

    Raises:
        FileNotFoundError: If no layout was recognised.
        ValueError: If the data set is too small to be divided.
    """
    training = FixatedFolder(folder, "train")
    if find_layout(folder, "train").files(training.folder, "val").paired():
        return training, FixatedFolder(folder, "val"), True
    held_out = hold_out(training.names)
    if len(held_out) == len(training):
        raise ValueError(f"{folder} has no val split, and {len(training)} image(s) are too few to hold some out.")
    return _only(training, set(training.names) - held_out), _only(training, held_out), False


def evaluation_split(folder: str | Path, layout: str = "auto") -> str:
    """``"val"`` where a data set has validation images with maps, or else ``"train"``."""
    try:
        return "val" if find_layout(folder, "val", layout).files(Path(folder), "val").paired() else "train"
    except FileNotFoundError:
        return "train"


def hold_out(names: Sequence[str]) -> set[str]:
    """Choose a fifth of the images, rounded up: in each category those whose names have the smallest hashes.

    The category is the part of a name before its slash, as in CAT2000. The choice depends on the names alone: the same
    images are held out on every machine, and one image more or less moves at most one other of its category.
    """
    categories: dict[str, list[str]] = {}
    for name in names:
        categories.setdefault(name.rpartition("/")[0], []).append(name)
    return {name for members in categories.values() for name in sorted(members, key=_hash)[: -(-len(members) // PARTS)]}


def _hash(name: str) -> str:
    return hashlib.sha256(f"held out\x1f{name}".encode()).hexdigest()


def _only(dataset: FixatedFolder, names: set[str]) -> FixatedFolder:
    part = copy.copy(dataset)
    part.names = sorted(names)
    return part
