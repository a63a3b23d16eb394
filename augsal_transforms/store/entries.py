"""The edits that a store has of an image: named by their files, and read one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from augsal_transforms.data.images import MAX_PIXELS
from augsal_transforms.editor.results import EditedImage
from augsal_transforms.store.keys import FILE_NAME, EditKey
from augsal_transforms.store.records import StoredEdit, read_record


@dataclass(frozen=True, order=True)
class EditEntry:
    """An edit in a store, as its file name describes it.

    Attributes:
        kind: Its kind.
        color: The target colour's name, or "".
        alpha: The editing strength asked for.
        path: The record.
    """

    kind: str
    color: str
    alpha: float
    path: Path


@dataclass(frozen=True)
class ImageEdit(EditEntry):
    """An edit in a store of an image at hand; ``load`` reads it.

    Attributes:
        image: The original, (3, H, W).
        known_hash: ``fast_hash`` or ``image_hash`` of the original.
    """

    image: Tensor = field(repr=False, compare=False)
    known_hash: str = field(repr=False, compare=False)

    def load(self) -> EditedImage:
        """Read the record, check it, and put it on the original.

        Raises:
            ValueError: If the record is damaged or cannot be read.
        """
        cause = "it is damaged"
        try:
            stored = read_edit(self.path, max_pixels=self.image.shape[-2] * self.image.shape[-1])
            if stored is not None:
                return stored.onto(self.image, known_hash=self.known_hash)
        except (OSError, ValueError) as error:
            cause = str(error)
        raise ValueError(
            f"{self.path} must be a record of this image, and is none: {cause}. `augsal verify --repair` deletes what "
            "is damaged, and `augsal generate` makes it again."
        )


def to_entry(path: Path) -> EditEntry:
    """An edit by the path of its record.

    Raises:
        ValueError: If the path is not named as records are.
    """
    match = FILE_NAME.fullmatch(path.name)
    if match is None:
        raise ValueError(f"{path.name} is not the name of a record.")
    return EditEntry(match[1], match[2] or "", int(match[3]) / 1000, path)


T = TypeVar("T", bound=EditEntry)


def draw_edit(edits: Sequence[T], generator: torch.Generator) -> T:
    """One of an image's edits: first a kind, each with the same chance, then one edit of this kind."""
    kinds = sorted({edit.kind for edit in edits})
    kind = kinds[int(torch.randint(len(kinds), (), generator=generator, device="cpu"))]
    of_kind = [edit for edit in edits if edit.kind == kind]
    return of_kind[int(torch.randint(len(of_kind), (), generator=generator, device="cpu"))]


def read_edit(path: Path, *, max_pixels: int = MAX_PIXELS) -> StoredEdit | None:
    """An edit by the path of its record; ``None`` if it is damaged, or not the edit that its path says.

    Args:
        path: The record, in its place in a store.
        max_pixels: Size of the image where it is known; no record of a larger rectangle is read.

    Raises:
        OSError: If the record is missing or cannot be read.
    """
    stored = read_record(path, max_pixels=max_pixels)
    if stored is None:
        return None
    try:
        key = EditKey(**{name: stored.metadata[name] for name in EditKey.__dataclass_fields__})
        return stored if (key.image, key.filename) == (path.parent.name, path.name) else None
    except (ValueError, RecursionError):  # an editor's identity that is no JSON
        return None
