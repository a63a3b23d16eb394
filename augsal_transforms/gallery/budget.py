"""The pictures of a card, as large and as good as its share of the page allows."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from augsal_transforms.gallery.pictures import (
    Box,
    Patch,
    Size,
    find_change,
    shrink,
    shrink_box,
    to_patch,
    to_uri,
)

_BUDGET = 150_000  # bytes of the pictures of one card, as text: 24 cards with their tables stay below 6 MB
# Pixels of the longer side, and quality of WebP; the first that keeps a card within its budget.
_SIZES = ((480, 82), (480, 65), (400, 50), (320, 40), (240, 30), (160, 25))
_MISJUDGED = 1.15  # a card is expected to be over its budget only when it seems to be by this factor


def within_budget(images: Sequence[Tensor]) -> tuple[Size, str, list[Patch | None]]:
    """Size and URI of the first picture, which is the original, and the patches of the others."""
    full, edited = (images[0].shape[-1], images[0].shape[-2]), images[1:]
    changes = [find_change(images[0], image) for image in edited]
    for side, quality in _SIZES:
        original = shrink(images[0], side)
        uri = to_uri(original, quality)
        boxes = [change and shrink_box(change, full, original.size) for change in changes]
        left = math.inf if (side, quality) == _SIZES[-1] else _BUDGET - len(uri)
        patches = _to_patches(list(zip(edited, boxes, strict=True)), original.size, quality, left)
        if patches is not None:
            break
    return original.size, uri, patches or []


def _to_patches(
    pictures: Sequence[tuple[Tensor, Box | None]], size: Size, quality: int, budget: float
) -> list[Patch | None] | None:
    """The patches of edited pictures with their boxes; ``None``, at once, where they will exceed a number of bytes."""
    total, done, used = sum(_area(box) for _, box in pictures), 0, 0
    patches = list[Patch | None]()
    for picture, box in pictures:
        patch = to_patch(picture, box, size, quality) if box else None
        patches.append(patch)
        done, used = done + _area(box), used + (len(patch.uri) if patch else 0)
        # A pixel takes about as many bytes in all edits of an image.
        if used > budget or used / max(done, 1) * total > _MISJUDGED * budget:
            return None
    return patches


def _area(box: Box | None) -> int:
    return (box[2] - box[0]) * (box[3] - box[1]) if box else 0
