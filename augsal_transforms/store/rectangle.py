"""The rectangle that an edit changed, as one lossless WebP: its difference to the original, and the mask as alpha."""

from __future__ import annotations

import io
import struct

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from augsal_transforms.store.metadata import MAX_SIDE

_NO_CHANGE = 0x00808080  # a pixel of the WebP outside the mask: alpha 0, differences 0


def bounding_box(mask: Tensor) -> tuple[int, int, int, int]:
    """Top, left, height and width of the part of a mask (H, W) that is above zero; zeros where nothing is."""
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    if not len(rows):
        return 0, 0, 0, 0
    top, left = int(rows[0]), int(columns[0])
    return top, left, int(rows[-1]) - top + 1, int(columns[-1]) - left + 1


def to_webp(difference: Tensor, edit_mask: Tensor) -> bytes:
    """A difference (3, h, w) and its mask (h, w), both uint8, as WebP; no bytes for an empty rectangle.

    Raises:
        ValueError: If a side is longer than WebP allows.
    """
    if not edit_mask.numel():
        return b""
    if max(edit_mask.shape) > MAX_SIDE:
        raise ValueError(f"The edited part must have sides of at most {MAX_SIDE} pixels, got {tuple(edit_mask.shape)}.")
    file = io.BytesIO()
    # `exact`: what lies under an alpha of 0 is kept too. On photographs a quarter smaller, and read faster, than
    # with quality and method 0; writing takes 25 ms more, beside the editor.
    options = {"lossless": True, "exact": True, "quality": 50, "method": 2}
    rectangle = torch.cat([difference + 128, edit_mask[None]]).permute(1, 2, 0).contiguous()
    PIL.Image.fromarray(rectangle.numpy()).save(file, "WEBP", **options)
    return file.getvalue()


def from_webp(data: bytes, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Difference (3, h, w), 0 where the mask is, and mask (h, w), both uint8.

    Raises:
        ValueError: If the data is not one lossless WebP of this size. That is found out before it is decoded.
    """
    if not height:
        if data:
            raise ValueError("An empty rectangle has no picture.")
        return torch.zeros(3, 0, 0, dtype=torch.uint8), torch.zeros(0, 0, dtype=torch.uint8)
    if _webp_size(data) != (height, width):
        raise ValueError("The picture has another size than its rectangle.")
    try:
        with PIL.Image.open(io.BytesIO(data), formats=("WEBP",)) as picture:
            # A mask that is 255 everywhere may come back as no alpha at all.
            rectangle = picture if picture.mode == "RGBA" else picture.convert("RGBA")
            pixels, colors = np.asarray(rectangle), np.asarray(rectangle.convert("RGB"))
    except Exception as error:  # whatever a decoder raises
        if isinstance(error, MemoryError):
            raise
        raise ValueError("The picture cannot be decoded.") from error
    if pixels.shape != (height, width, 4):
        raise ValueError("The picture has another size than its header says.")
    edit_mask, difference = pixels[..., 3].copy(), colors ^ 128
    whole = pixels.view("<u4")
    if np.count_nonzero(whole < 1 << 24) != np.count_nonzero(whole == _NO_CHANGE):  # a stranger's record
        difference[edit_mask == 0] = 0
    # (h, w, 3) in memory, as decoders give photographs: one is added to the other row by row.
    return torch.from_numpy(difference).permute(2, 0, 1), torch.from_numpy(edit_mask)


def _webp_size(data: bytes) -> tuple[int, int]:
    """(height, width) from the header of a file that holds one lossless picture and nothing else."""
    if len(data) < 25 or data[:4] != b"RIFF" or data[8:16] != b"WEBPVP8L" or data[20] != 0x2F:
        raise ValueError("The rectangle is not a lossless WebP.")
    size, chunk = struct.unpack_from("<I", data, 4)[0], struct.unpack_from("<I", data, 16)[0]
    if size + 8 != len(data) or chunk + chunk % 2 + 20 != len(data):
        raise ValueError("The WebP is longer or shorter than its header says.")
    # 14 bits of width - 1, 14 bits of height - 1
    bits = struct.unpack_from("<I", data, 21)[0]
    return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
