"""Pictures small enough for a page: an original, the rectangle that an edit changed, masks and maps, as data URIs."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass

import PIL.Image
from torch import Tensor
from torchvision.transforms.v2.functional import to_pil_image

SIDE = 480  # pixels of a picture's longer side
_MAP_SIDE = 160
_DIMMED = 0.72  # share of the light that the overlay takes away outside the region
_REACH = 3  # pixels of a shrunk picture that a change spreads by: the radius of Lanczos' kernel

Size = tuple[int, int]  # width, height
Box = tuple[int, int, int, int]  # left, top, right, bottom


@dataclass(frozen=True)
class Patch:
    """A part of a picture: its data URI, and its place in pixels of that picture."""

    uri: str
    left: int
    top: int
    width: int
    height: int


def shrink(picture: Tensor, side: int = SIDE) -> PIL.Image.Image:
    """A picture (1 or 3, H, W), uint8 or float in [0, 1], with a longer side of at most ``side`` pixels."""
    shown: PIL.Image.Image = to_pil_image(picture.cpu())
    return shown.resize(shrunk_size(shown.size, side), PIL.Image.Resampling.LANCZOS)


def shrunk_size(size: Size, side: int) -> Size:
    """The size of a picture after ``shrink``."""
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def to_uri(picture: PIL.Image.Image, quality: int) -> str:
    """A picture as a WebP in a data URI; quality 100 is lossless."""
    content = io.BytesIO()
    options = {"lossless": True, "quality": 30} if quality == 100 else {"quality": quality, "alpha_quality": 60}
    picture.save(content, "WEBP", method=2, **options)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"


def find_change(original: Tensor, edited: Tensor) -> Box | None:
    """The rectangle in which two pictures (3, H, W) differ; ``None`` where they do not."""
    red, green, blue = original != edited
    changed = red | green | blue
    if not changed.any():
        return None
    rows, columns = changed.any(dim=1).nonzero(), changed.any(dim=0).nonzero()
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def shrink_box(box: Box, full: Size, size: Size) -> Box:
    """The pixels that a change within a box touches when its picture of size ``full`` is shrunk to ``size``."""
    if full == size:
        return box
    across, down = size[0] / full[0], size[1] / full[1]
    return (
        max(0, math.floor(box[0] * across) - _REACH),
        max(0, math.floor(box[1] * down) - _REACH),
        min(size[0], math.ceil(box[2] * across) + _REACH),
        min(size[1], math.ceil(box[3] * down) + _REACH),
    )


def to_patch(picture: Tensor, box: Box, size: Size, quality: int) -> Patch:
    """The part of a picture (3, H, W), shrunk to ``size``, that lies in a box of the shrunk picture."""
    shown: PIL.Image.Image = to_pil_image(picture.cpu())
    across, down = shown.size[0] / size[0], shown.size[1] / size[1]
    width, height = box[2] - box[0], box[3] - box[1]
    source = (box[0] * across, box[1] * down, box[2] * across, box[3] * down)
    # Only the box is computed: the kernels at its edges read the pixels around it.
    part = shown.resize((width, height), PIL.Image.Resampling.LANCZOS, box=source)
    return Patch(to_uri(part, quality), box[0], box[1], width, height)


def to_overlay(edit_mask: Tensor) -> str:
    """A layer for an image that dims what is outside of an edit mask (1, H, W)."""
    mask = shrink(edit_mask, SIDE // 2)
    layer = PIL.Image.new("RGBA", mask.size, (0, 0, 0, 0))
    layer.putalpha(mask.point(lambda value: round(_DIMMED * (255 - value))))
    return to_uri(layer, 50)


def to_map(image_map: Tensor, peak: float | None = None) -> str:
    """A map (1, h, w) of values ≥ 0 in grey: white is ``peak``, or the map's own maximum."""
    values = image_map.float()
    white = float(values.max()) if peak is None else peak
    picture = shrink((values / max(white, 1e-30)).clamp(0, 1), _MAP_SIDE)
    return to_uri(picture, 100 if values.numel() <= 4096 else 60)
