"""The rectangle of an edit in older records: one lossless WebP, its difference to the original, the mask as alpha."""

from __future__ import annotations

import io
import struct

import numpy as np
import PIL.Image


def from_webp(data: bytes, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Difference (h, w, 3) and mask (h, w), both uint8.

    Raises:
        ValueError: If the data is not one lossless WebP of this size. That is found out before it is decoded.
    """
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
    return colors ^ 128, pixels[..., 3].copy()  # a difference of 0 is written as 128


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
