"""One of the edits that a store holds of an image, drawn: what the transform reads instead of editing."""

from __future__ import annotations

import torch
from torch import Tensor

from augsal_transforms.editor.results import EditedImage
from augsal_transforms.store.store import EditStore, draw_edit

NOT_HELD = (
    "the store holds no edit of this image. Edits are found by the original's pixels: was it filled from this data, "
    "and is the augmentation first in the Compose, before resizes and crops?"
)
DAMAGED = "the store's record is damaged or cannot be read."


def draw_stored(store: EditStore, image: Tensor, generator: torch.Generator) -> EditedImage | str:
    """Draw the kind, then one of its strengths, each uniformly from what is held."""
    held = store.edits_of(image)
    if not held:
        return NOT_HELD
    try:
        return draw_edit(held, generator).load()
    except ValueError:
        return DAMAGED
