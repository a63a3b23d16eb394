"""One edit as bytes: a safetensors record that holds only what the edit changed.

Outside the edit mask nothing changed, so a record keeps the mask's bounding rectangle, compressed by zstd: the
difference of the edited image to the original (modulo 256), and the mask. Added to the original, whose pixel hash is
checked, it gives the edited image back to the bit. Older records, whose rectangle is a lossless WebP, are read too.

A record may come from a stranger. Its header, checksum, fields and sizes are checked before anything is decompressed.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from augsal_transforms.data.images import MAX_PIXELS, read_image, to_rgb_image
from augsal_transforms.editor.results import EditedImage, Trial
from augsal_transforms.files import parse_json, read_file, read_head
from augsal_transforms.store.container import MAX_HEADER, header_length, join, parse_header, split
from augsal_transforms.store.keys import FAST_HASH, EditKey, fast_hash, image_hash, to_bytes
from augsal_transforms.store.metadata import RESULT_FIELDS, check_metadata
from augsal_transforms.store.rectangle import bounding_box, compress, decompress

_MAX_REGION = 1024  # side of M


@dataclass(frozen=True)
class StoredEdit:
    """An edit read from a store, to be put on its original.

    Attributes:
        metadata: The record's JSON: the key's fields and the metadata of the edit.
        region: M, (1, h, w).
        difference: Edited minus original, modulo 256, in the rectangle, (3, h, w) uint8; 0 where the mask is 0.
        edit_mask: The mask in the rectangle, (h, w) uint8.
    """

    metadata: dict[str, Any]
    region: Tensor
    difference: Tensor
    edit_mask: Tensor

    def onto(self, original: Tensor | str | Path, *, known_hash: str | None = None) -> EditedImage:
        """The edited image, bit-identical to the one that was stored.

        Args:
            original: The image that was edited: pixels (3, H, W), uint8 or float in [0, 1], or its file.
            known_hash: ``image_hash(original)`` or ``fast_hash(original)`` where the caller has it already.

        Raises:
            ValueError: If it is another image, or the record's rectangle reaches beyond it.
        """
        pixels = original if isinstance(original, Tensor) else to_rgb_image(read_image(original))
        plain = pixels.as_subclass(Tensor)
        if not self._is_of(plain, known_hash):
            raise ValueError(
                f"`original` is not the image this edit was made from ({self.metadata['source'] or 'no name'}, pixel "
                f"hash {self.metadata['image'][:12]}…). Give it before any resize, crop or Normalize."
            )
        top, left = self.metadata["place"]
        height, width = self.edit_mask.shape
        if top + height > plain.shape[-2] or left + width > plain.shape[-1]:
            raise ValueError(
                f"The record's rectangle, {height}×{width} at ({top}, {left}), reaches beyond its image of "
                f"{plain.shape[-2]}×{plain.shape[-1]}: it is damaged. `augsal verify --repair` deletes what is."
            )
        window = (..., slice(top, top + height), slice(left, left + width))
        inside, difference = self.edit_mask.to(plain.device), self.difference.to(plain.device)
        edited, mask = plain.clone(), torch.zeros(1, *plain.shape[-2:], device=plain.device)
        if plain.is_floating_point():
            changed = (to_bytes(plain[window]) + difference).to(plain.dtype) / 255
            edited[window] = torch.where(inside > 0, changed, plain[window])
        else:
            edited[window] += difference  # 0 outside the mask; uint8 arithmetic is modulo 256
        torch.div(inside, 255, out=mask[0, window[1], window[2]])
        metadata = {name: self.metadata[name] for name in RESULT_FIELDS}
        tried = tuple(Trial(**trial) for trial in self.metadata.get("tried", ()))
        return EditedImage(
            image=edited,
            edit_mask=mask,
            region=self.region,
            alpha=self.metadata["alpha"] / 1000,
            rise=self.metadata.get("rise"),
            tried=tried,
            **metadata,
        )

    def _is_of(self, pixels: Tensor, known_hash: str | None) -> bool:
        """Whether this is an edit of an image, by the fast hash, which older records do not have, or by SHA-256."""
        fast = self.metadata.get("fast_hash", "")
        if not known_hash or (FAST_HASH.fullmatch(known_hash) and not fast):
            known_hash = fast_hash(pixels) if fast else image_hash(pixels)
        return known_hash in (fast, self.metadata["image"])


def encode(key: EditKey, original: Tensor, result: EditedImage, *, source: str = "", about: Any = None) -> bytes:
    """A record; the same edit always gives the same bytes.

    Args:
        key: The edit's key.
        original: The image that was edited, (3, H, W) uint8.
        result: The edit.
        source: The file stem of the original.
        about: Further JSON: library versions, the licence of the editor's weights.

    Raises:
        ValueError: For images that are not uint8 (edited in 32 bits and stored in 8, they would not come back to the
            bit), and for edits that no record can hold.
    """
    if original.dtype != torch.uint8 or result.image.dtype != torch.uint8:
        raise ValueError(
            f"A record holds edits of uint8 images, got {original.dtype} and {result.image.dtype}. "
            "Edit the image as it is on disk: `torchvision.io.read_image`, or `pil_to_tensor`."
        )
    mask = to_bytes(result.edit_mask)[0].cpu()
    top, left, height, width = bounding_box(mask)
    rows, columns = slice(top, top + height), slice(left, left + width)
    inside = mask[rows, columns]
    difference = to_bytes(result.image)[:, rows, columns].cpu() - original[:, rows, columns].cpu()
    metadata = {name: getattr(result, name) for name in RESULT_FIELDS}
    metadata |= {**vars(key), "place": [top, left], "size": [height, width], "source": source}
    metadata["fast_hash"] = fast_hash(original)
    if result.rise is not None:
        metadata |= {"rise": result.rise, "tried": [asdict(trial) for trial in result.tried]}
    region = result.region.float().cpu().contiguous()
    if not _is_region(region) or height * width > MAX_PIXELS:
        raise ValueError(
            f"`region` of a stored edit must be finite and (1, h, w) with sides of at most {_MAX_REGION}, and its "
            f"edited part at most {MAX_PIXELS:,} pixels, got {tuple(region.shape)} and {height * width:,} pixels."
        )
    content = {"region": region.numpy().tobytes(), "rectangle": compress(difference, inside)}
    shapes = {"region": list(region.shape), "rectangle": [len(content["rectangle"])]}
    text = json.dumps({**check_metadata(metadata), "about": about}, sort_keys=True, allow_nan=False)
    record = join(text, content, shapes)
    if header_length(record) > MAX_HEADER:
        raise ValueError(
            f"The metadata of an edit must be shorter than {MAX_HEADER:,} bytes, got {header_length(record):,}. Is "
            f"`prompt`, of {len(key.prompt):,} characters, a caption?"
        )
    return record


def decode(record: bytes, *, max_pixels: int = MAX_PIXELS) -> StoredEdit | None:
    """Read a record.

    Args:
        record: Its bytes.
        max_pixels: Largest rectangle that is decoded: the size of the image where it is known.

    Returns:
        The edit; ``None`` for a record that is damaged in any place, or is not what a record must be.
    """
    try:
        metadata, content, shapes = split(record)
        fields = check_metadata(parse_json(metadata))
        height, width = fields["size"]
        if height * width > max_pixels:
            return None
        region = torch.from_numpy(np.frombuffer(content["region"], np.float32).reshape(shapes["region"]).copy())
        if not _is_region(region):
            return None
        difference, edit_mask = decompress(content["rectangle"], height, width)
        return StoredEdit(fields, region, difference, edit_mask)
    except (ValueError, KeyError, TypeError, struct.error):
        return None


def read_record(path: Path, *, max_pixels: int = MAX_PIXELS) -> StoredEdit | None:
    """Read a record's file; ``None`` where it is no regular file, larger than a record can be, or damaged.

    Raises:
        OSError: If it is missing or cannot be read.
    """
    # A compressed rectangle is not much larger than its pixels, of four bytes each.
    limit = 8 + MAX_HEADER + 4 * _MAX_REGION**2 + 5 * max_pixels + 4096
    content = read_file(path, limit)
    return None if content is None else decode(content, max_pixels=max_pixels)


def read_metadata(path: Path) -> dict[str, Any] | None:
    """The metadata of a record without its pixels: checked field by field, but not by the checksum.

    Returns:
        ``None`` where it cannot be read.
    """
    try:
        record = read_head(path, lambda start: min(header_length(start), MAX_HEADER))
        return check_metadata(parse_json(parse_header(record)["__metadata__"]["record"])) if record else None
    except (ValueError, KeyError, TypeError, OSError, struct.error):
        return None


def _is_region(region: Tensor) -> bool:
    """Whether a tensor can be M of Eq. 8."""
    sides = region.shape
    has_sides = len(sides) == 3 and sides[0] == 1 and min(sides) > 0 and max(sides) <= _MAX_REGION
    return has_sides and bool(np.isfinite(region.numpy()).all())  # torch takes a fifteenth of the time of reading
