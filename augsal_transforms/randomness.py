"""Private randomness: every draw comes from a generator keyed by what it is for."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def keyed_generator(*keys: object) -> torch.Generator:
    """A CPU generator seeded by the SHA-256 of its keys: the same in any process and for any order of calls."""
    digest = hashlib.sha256("\x1f".join(str(key) for key in keys).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def pixel_hash(image: Tensor) -> str:
    """SHA-256 of an image's pixels, type and shape, as 64 hexadecimal digits."""
    pixels = image.detach().cpu().contiguous()
    digest = hashlib.sha256(f"{tuple(pixels.shape)}{pixels.dtype}".encode())
    digest.update(pixels.view(torch.uint8).numpy().data)
    return digest.hexdigest()
