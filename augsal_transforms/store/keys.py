"""The key of an edit, everything that its pixels follow from, and the file name that is made of it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import xxhash
from torch import Tensor

from augsal_transforms.editor.edits import Edit
from augsal_transforms.randomness import pixel_hash
from augsal_transforms.store.identity import schema_1_config

SCHEMA = 2
HASH = re.compile(r"[0-9a-f]{64}")
FAST_HASH = re.compile(r"[0-9a-f]{32}")
KIND = re.compile(r"[a-z][a-z0-9_]{0,63}")
COLOR = re.compile(r"[a-z0-9_]{0,64}")
FILE_NAME = re.compile(r"([a-z][a-z0-9_]{0,63})(?:-([a-z0-9_]{1,64}))?([+-][0-9]{4,9})-[0-9a-f]{16}\.safetensors")
MAX_ALPHA = 10**9  # thousandths, exclusive: as many digits as a file name has


def to_bytes(picture: Tensor) -> Tensor:
    """A picture in the form in which it is stored and hashed: uint8; floats in [0, 1] in steps of 1/255."""
    plain = picture.as_subclass(Tensor)
    return plain if plain.dtype == torch.uint8 else (plain.float() * 255).round().to(torch.uint8)


def image_hash(image: Tensor) -> str:
    """Name of an image in a store: SHA-256 of its pixels in 8 bits and of its shape (3, H, W)."""
    return pixel_hash(to_bytes(image))


def fast_hash(image: Tensor) -> str:
    """xxh3_128 of an image's pixels in 8 bits and of its shape (3, H, W), by which its edits are found fast."""
    pixels = to_bytes(image).detach().cpu().numpy()
    digest, rows = xxhash.xxh3_128(repr(pixels.shape).encode()), np.moveaxis(pixels, 0, -1)
    if not rows.flags.c_contiguous:  # decoders give (H, W, 3) in memory; other orders are hashed as if they were it
        rows = np.empty(rows.shape, np.uint8)
        for n, channel in enumerate(pixels):
            rows[..., n] = channel  # in a fourth of the time of ``np.ascontiguousarray``
    digest.update(rows.data)
    return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class EditKey:
    """Everything that the pixels of an edit follow from; equal keys name one record.

    Two edits with equal keys may still differ where float sums do: by 1/255 in the mask and the pixels, and in the
    last digits of ``strength`` and the properties, when they were made in batches of other sizes, with another number
    of threads, or on another device. The record that was written last is kept.

    Attributes:
        image: ``image_hash`` of the original.
        saliency_map: ``image_hash`` of its map.
        prompt: Its caption, or "".
        seed: Seed that the editor was given.
        editor: ``editor_identity`` of the editor.
        kind: Name of the kind of edit, as in ``KINDS``.
        color: Name of the target colour, or "".
        alpha: Editing strength asked for, in whole thousandths: 1.2 and 1.2000000000000002 are one key.
        schema: Version of the key's fields. Version 1 had every field of ``EditConfig`` in ``editor``, version 2 has
            those that differ from the defaults.
    """

    image: str
    saliency_map: str
    prompt: str
    seed: int
    editor: dict[str, Any]
    kind: str
    color: str
    alpha: int
    schema: int = SCHEMA

    @classmethod
    def of(
        cls, image: Tensor, saliency_map: Tensor, prompt: str, edit: Edit, *, seed: int, editor: dict[str, Any]
    ) -> EditKey:
        """Key of a drawn edit of an image (3, H, W) with its map (1, H, W)."""
        return cls.of_each(image_hash(image), saliency_map, prompt, [edit], seed=seed, editor=editor)[0]

    @classmethod
    def of_each(
        cls, image: str, saliency_map: Tensor | str, prompt: str, edits: Sequence[Edit], *, seed: int, editor: Any
    ) -> list[EditKey]:
        """Keys of several drawn edits of one image, given by its ``image_hash``, and its map or the map's."""
        map_hash = saliency_map if isinstance(saliency_map, str) else image_hash(saliency_map)
        return [
            cls(
                image=image,
                saliency_map=map_hash,
                prompt=prompt,
                seed=seed,
                editor=editor,
                kind=edit.kind,
                color=edit.color_name,
                alpha=round(edit.alpha_value * 1000),
            )
            for edit in edits
        ]

    def __hash__(self) -> int:
        return hash(self.digest())

    def digest(self) -> str:
        """SHA-256 of the key as canonical JSON, 64 hexadecimal digits."""
        fields = json.dumps(vars(self), sort_keys=True, allow_nan=False, ensure_ascii=True)
        return hashlib.sha256(fields.encode()).hexdigest()

    @property
    def filename(self) -> str:
        """Name of the record in its image's folder; kind, colour and α can be read from it.

        Raises:
            ValueError: If the kind or the colour has a name that a store could not find again.
        """
        kind = f"{self.kind}-{self.color}" if self.color else self.kind
        name = f"{kind}{self.alpha:+05d}-{self.digest()[:16]}.safetensors"
        if not FILE_NAME.fullmatch(name):
            raise ValueError(
                "`kind` and `color` of a stored edit must be lower-case letters, digits and _, a kind beginning with a "
                f"letter, and α below 1,000,000, got {self.kind!r}, {self.color!r}, {self.alpha / 1000}."
            )
        return name

    def file_names(self) -> list[str]:
        """Names under which the edit's record may be stored: this schema's, then schema 1's where it had one."""
        if self.schema == 1 or "config" not in self.editor:
            return [self.filename]
        config = schema_1_config(self.editor["config"])
        if config is None:
            return [self.filename]
        return [self.filename, replace(self, editor={**self.editor, "config": config}, schema=1).filename]
