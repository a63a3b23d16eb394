"""One edit of an image, drawn from those in a store and read."""

from __future__ import annotations

import torch
from torch import Tensor

from augsal_transforms.editor.results import EditedImage
from augsal_transforms.store.entries import draw_edit
from augsal_transforms.store.store import EditStore

NOT_HELD = (
    "the store holds no edit of this image. Edits are found by the original's pixels: was it filled from this data, "
    "and is the augmentation first in the Compose, before resizes and crops?"
)
DAMAGED = "the store's record is damaged or cannot be read."


def draw_stored(store: EditStore, image: Tensor, generator: torch.Generator) -> EditedImage | str:
    """Draw a kind, then one of its strengths, each with the same chance, and read that edit.

    Args:
        store: The store.
        image: The original, (3, H, W).
        generator: Generator of the draws.

    Returns:
        The edited image, or the reason why there is none.
    """
    edits = store.edits_of(image)
    if not edits:
        return NOT_HELD
    try:
        return draw_edit(edits, generator).load()
    except ValueError:
        return DAMAGED
