"""Pictures small enough for a page: an original, the rectangle that an edit changed, masks and maps, as data URIs."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import PIL.Image
import PIL.ImageChops
from torch import Tensor
from torchvision.transforms.v2.functional import to_pil_image

SIDE = 480  # pixels of a picture's longer side
_MAP_SIDE = 160
_DIMMED = 0.72  # share of the light that the overlay takes away outside the region


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
    scale = side / max(shown.size)
    if scale >= 1:
        return shown
    width, height = (max(1, round(length * scale)) for length in shown.size)
    return shown.resize((width, height), PIL.Image.Resampling.LANCZOS)


def to_uri(picture: PIL.Image.Image, quality: int) -> str:
    """A picture as a WebP in a data URI; quality 100 is lossless."""
    content = io.BytesIO()
    options = {"lossless": True, "quality": 30} if quality == 100 else {"quality": quality, "alpha_quality": 60}
    picture.save(content, "WEBP", method=2, **options)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"


def to_patch(original: PIL.Image.Image, edited: PIL.Image.Image, quality: int) -> Patch | None:
    """The rectangle in which two pictures of one size differ; ``None`` where they do not."""
    box = PIL.ImageChops.difference(original, edited).getbbox()
    if box is None:
        return None
    return Patch(to_uri(edited.crop(box), quality), box[0], box[1], box[2] - box[0], box[3] - box[1])


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
