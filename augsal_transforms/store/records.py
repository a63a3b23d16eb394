"""One edit as bytes: its key, and a safetensors record that holds only what the edit changed.

Outside the edit mask nothing changed, so a record keeps the mask's bounding rectangle, as one lossless WebP: the
difference of the edited image to the original (modulo 256, 0 shown as 128), and the mask as its alpha. Added to
the original, whose pixel hash is checked, it gives the edited image back to the bit.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from augsal_transforms.data.images import read_image, to_rgb_image
from augsal_transforms.editor.edits import Edit
from augsal_transforms.editor.results import EditedImage
from augsal_transforms.randomness import pixel_hash

SCHEMA = 1
_METADATA = (
    *("kind", "color", "word", "region_source", "strength", "bound_by"),
    *("properties_before", "properties_after", "seed"),
)


def to_bytes(picture: Tensor) -> Tensor:
    """uint8 as it is, float in [0, 1] in steps of 1/255: the form in which pictures are stored and hashed."""
    plain = picture.as_subclass(Tensor)
    return plain if plain.dtype == torch.uint8 else (plain.float() * 255).round().to(torch.uint8)


def image_hash(image: Tensor) -> str:
    """SHA-256 of an image's pixels in 8 bits and of its shape (3, H, W): what an image is called in a store."""
    return pixel_hash(to_bytes(image))


@dataclass(frozen=True, kw_only=True)
class EditKey:
    """All that the pixels of an edit follow from; equal keys, one record.

    Attributes:
        image: ``image_hash`` of the original.
        saliency_map: ``image_hash`` of its map.
        prompt: Its caption, or "".
        seed: The editor's seed.
        editor: ``editor_identity`` of the editor.
        kind: ``"contrast"``, ``"brightness"`` or ``"color"``.
        color: The target colour, or "".
        alpha: The strength asked for, in whole thousandths: 1.2 and 1.2000000000000002 are one key.
    """

    image: str
    saliency_map: str
    prompt: str
    seed: int
    editor: dict[str, Any]
    kind: str
    color: str
    alpha: int

    @classmethod
    def of(
        cls, image: Tensor, saliency_map: Tensor, prompt: str, edit: Edit, *, seed: int, editor: dict[str, Any]
    ) -> EditKey:
        """The key of a drawn edit of an image (3, H, W) and its map (1, H, W)."""
        return cls(
            image=image_hash(image),
            saliency_map=image_hash(saliency_map),
            prompt=prompt,
            seed=seed,
            editor=editor,
            kind=edit.kind,
            color=edit.color_name,
            alpha=round(edit.alpha_value * 1000),
        )

    def __hash__(self) -> int:
        return hash(self.digest())

    def digest(self) -> str:
        """SHA-256 of the key as canonical JSON, 64 hexadecimal digits."""
        fields = json.dumps({"schema": SCHEMA, **vars(self)}, sort_keys=True, allow_nan=False, ensure_ascii=True)
        return hashlib.sha256(fields.encode()).hexdigest()

    @property
    def filename(self) -> str:
        """The record's name in its image's folder: kind, colour and strength can be read without opening it."""
        kind = f"{self.kind}-{self.color}" if self.color else self.kind
        return f"{kind}{self.alpha:+05d}-{self.digest()[:16]}.safetensors"


@dataclass(frozen=True)
class StoredEdit:
    """An edit read from a store, to be put on its original.

    Attributes:
        metadata: The record's JSON: the key's fields and the metadata of the edit.
        region: M, (1, h, w).
        difference: Edited minus original, modulo 256, in the rectangle, (3, h, w) uint8.
        edit_mask: The mask in the rectangle, (h, w) uint8.
    """

    metadata: dict[str, Any]
    region: Tensor
    difference: Tensor
    edit_mask: Tensor

    def onto(self, original: Tensor | str | Path, *, known_hash: str | None = None) -> EditedImage:
        """The edited image, bit-identical to the one that was stored.

        Args:
            original: The image it was made from: pixels (3, H, W), uint8 or float in [0, 1], or its file.
            known_hash: ``image_hash(original)`` where the caller has it already.

        Raises:
            ValueError: If it is another image.
        """
        pixels = original if isinstance(original, Tensor) else to_rgb_image(read_image(original))
        plain = pixels.as_subclass(Tensor)
        if (known_hash or image_hash(plain)) != self.metadata["image"]:
            raise ValueError(
                f"`original` is not the image this edit was made from ({self.metadata['source'] or 'no name'}, pixel "
                f"hash {self.metadata['image'][:12]}…). Give it before any resize, crop or Normalize."
            )
        top, left = self.metadata["place"]
        rows, columns = (slice(start, start + n) for start, n in zip((top, left), self.edit_mask.shape, strict=True))
        edited, mask = plain.clone(), torch.zeros(1, *plain.shape[-2:])
        changed = to_bytes(plain[:, rows, columns]) + self.difference  # uint8 arithmetic is modulo 256
        if plain.is_floating_point():
            inside = self.edit_mask > 0
            changed = torch.where(inside, changed.to(plain.dtype) / 255, plain[:, rows, columns])
        edited[:, rows, columns] = changed
        mask[0, rows, columns] = self.edit_mask.float() / 255
        metadata = {name: self.metadata[name] for name in _METADATA}
        return EditedImage(
            image=edited, edit_mask=mask, region=self.region, alpha=self.metadata["alpha"] / 1000, **metadata
        )


def encode(key: EditKey, original: Tensor, result: EditedImage, *, source: str = "", about: Any = None) -> bytes:
    """A record.

    Args:
        key: The edit's key.
        original: The image that was edited, (3, H, W) uint8.
        result: The edit.
        source: The file stem of the original.
        about: What else should be known, as JSON: versions, the licence of the editor's weights.

    Raises:
        ValueError: For floats: edited in 32 bits and stored in 8, they would not come back to the bit.
    """
    if original.dtype != torch.uint8 or result.image.dtype != torch.uint8:
        raise ValueError(
            f"A record holds edits of uint8 images, got {original.dtype} and {result.image.dtype}. "
            "Edit the image as it is on disk: `torchvision.io.read_image`, or `pil_to_tensor`."
        )
    mask = to_bytes(result.edit_mask)[0].cpu()
    top, left, height, width = _bounding_box(mask)
    rows, columns = slice(top, top + height), slice(left, left + width)
    inside = mask[rows, columns]
    difference = (to_bytes(result.image).cpu() - to_bytes(original).cpu())[:, rows, columns]
    metadata = {name: getattr(result, name) for name in _METADATA}
    metadata |= {**vars(key), "schema": SCHEMA, "place": [top, left], "size": [height, width], "source": source}
    tensors = {
        "rectangle": _as_tensor(_to_webp(torch.cat([difference + 128, inside[None]]))),
        "region": result.region.float().cpu().contiguous(),
    }
    text = json.dumps({**metadata, "about": about}, sort_keys=True, allow_nan=False)
    return save(tensors, metadata={"record": text, "sha256": _checksum(text, tensors)})


def decode(record: bytes) -> StoredEdit | None:
    """Read a record; ``None`` for one that is damaged in any place."""
    try:
        metadata, checksum = _read_header(record)
        tensors = load(record)
        if _checksum(metadata, tensors) != checksum:
            return None
        content = json.loads(metadata)
        height, width = content["size"]
        rectangle = _from_webp(tensors["rectangle"].numpy().tobytes(), height, width)
        return StoredEdit(content, tensors["region"], difference=rectangle[:3] - 128, edit_mask=rectangle[3])
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, OSError, struct.error):
        return None


def read_metadata(path: Path) -> dict[str, Any] | None:
    """The JSON of a record without its pixels, unverified; ``None`` where it cannot be read."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
            header = file.read(struct.unpack("<Q", start)[0]) if len(start) == 8 else b""
        return dict(json.loads(_read_header(start + header)[0]))
    except (ValueError, KeyError, TypeError, OSError, OverflowError, MemoryError, struct.error):
        return None


def _read_header(record: bytes) -> tuple[str, str]:
    """The record's JSON and its checksum. A safetensors file begins with its header's length and JSON."""
    (length,) = struct.unpack_from("<Q", record)
    metadata = json.loads(record[8 : 8 + length])["__metadata__"]
    return metadata["record"], metadata["sha256"]


def _checksum(metadata: str, tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(metadata.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def _bounding_box(mask: Tensor) -> tuple[int, int, int, int]:
    """Top, left, height and width of what is above zero; zeros where nothing is."""
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    if not len(rows):
        return 0, 0, 0, 0
    top, left = int(rows[0]), int(columns[0])
    return top, left, int(rows[-1]) - top + 1, int(columns[-1]) - left + 1


def _to_webp(rectangle: Tensor) -> bytes:
    if not rectangle.numel():
        return b""
    file = io.BytesIO()
    # `exact`: what lies under an alpha of 0 is kept too. On photographs a quarter smaller, and read faster, than
    # with quality and method 0; writing takes 25 ms more, beside the editor.
    options = {"lossless": True, "exact": True, "quality": 50, "method": 2}
    PIL.Image.fromarray(rectangle.permute(1, 2, 0).contiguous().numpy()).save(file, "WEBP", **options)
    return file.getvalue()


def _from_webp(data: bytes, height: int, width: int) -> Tensor:
    """Difference + 128 and mask, (4, h, w)."""
    if not data:
        return torch.zeros(4, height, width, dtype=torch.uint8)
    with PIL.Image.open(io.BytesIO(data), formats=("WEBP",)) as picture:
        # A mask that is 255 everywhere may come back as no alpha at all.
        pixels = np.array(picture if picture.mode == "RGBA" else picture.convert("RGBA"))
    if pixels.shape != (height, width, 4):
        raise ValueError("The rectangle has another size than its place.")
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _as_tensor(data: bytes) -> Tensor:
    return torch.from_numpy(np.frombuffer(data, np.uint8).copy())
