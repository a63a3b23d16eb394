"""EditStore: edits on disk, made once and read by any number of workers.

Layout: ``v1/<aa>/<image hash>/<kind><α in thousandths>-<key>.safetensors``, so which edits of an image
exist is one ``listdir`` of its folder; ``stems/`` holds empty files that lead from a source file's stem to
image hashes and can be made again from the records. A record is written beside its place and renamed:
there is no lock and no half record, writers of one key write the same edit, and the last one wins.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from augsal_transforms.editor.results import EditedImage
from augsal_transforms.files import write_file
from augsal_transforms.store.records import EditKey, StoredEdit, decode, encode, image_hash, read_metadata

_NAME = re.compile(r"(contrast|brightness|color)(?:-([a-z]+))?([+-]\d+)-[0-9a-f]{16}\.safetensors")


@dataclass(frozen=True, order=True)
class EditEntry:
    """An edit that a store holds, as its file name tells: kind, colour ("" if none), α."""

    kind: str
    color: str
    alpha: float
    path: Path


class EditStore:
    """Edits on disk, found by the original's pixels.

    Args:
        folder: Where they are; made if it is not there.
        readonly: Write nothing: ``put`` does nothing, and the folder must exist.

    Raises:
        FileNotFoundError: For a read-only store that is not there.
    """

    def __init__(self, folder: str | Path, *, readonly: bool = False) -> None:
        self.folder, self.readonly = Path(folder), readonly
        if not readonly:
            (self.folder / "v1").mkdir(parents=True, exist_ok=True)
        elif not (self.folder / "v1").is_dir():
            raise FileNotFoundError(
                f"There is no store of edits at {self.folder}. `EditStore(folder)` makes one, `put` fills it."
            )

    def __repr__(self) -> str:
        return f"EditStore({str(self.folder)!r}{', readonly=True' if self.readonly else ''})"

    def path(self, key: EditKey) -> Path:
        """Where an edit's record is, or would be."""
        return self._of(key.image) / key.filename

    def __contains__(self, key: EditKey) -> bool:
        return self.get(key) is not None  # a damaged record is made again

    def put(self, key: EditKey, original: Tensor, result: EditedImage, *, source: str = "", about: Any = None) -> None:
        """Write an edit; see ``records.encode``. An existing record of the key is replaced.

        Raises:
            ValueError: For images that are not uint8.
            OSError: If the disk is full or the folder cannot be written to; no partial file is left.
        """
        if self.readonly:
            return
        write_file(self.path(key), encode(key, original, result, source=source, about=about))
        self.link(source, key.image)

    def get(self, key: EditKey) -> StoredEdit | None:
        """An edit by its key; ``None`` if it is missing or damaged."""
        return self.read(self.path(key))

    def read(self, path: Path) -> StoredEdit | None:
        """An edit by the path of its record; ``None`` if it is missing, damaged, or not what its name says."""
        try:
            stored = decode(path.read_bytes())
            return stored if stored and _key_of(stored.metadata).filename == path.name else None
        except (OSError, KeyError, TypeError):
            return None

    def list_edits(self, image: Tensor | str) -> list[EditEntry]:
        """Which edits of an image exist, sorted.

        Args:
            image: The original's pixels (3, H, W), or their ``image_hash``.
        """
        folder = self._of(image if isinstance(image, str) else image_hash(image))
        try:
            names = os.listdir(folder)  # noqa: PTH208 - a name is all that is needed
        except OSError:
            return []
        matches = [(name, _NAME.fullmatch(name)) for name in names]
        return sorted(
            EditEntry(match[1], match[2] or "", int(match[3]) / 1000, folder / name) for name, match in matches if match
        )

    def find(self, stem: str) -> list[EditEntry]:
        """Which edits exist of the images whose file had this stem; several images may share one."""
        marker = self._marker(stem, "")
        try:
            names = sorted(os.listdir(marker.parent))  # noqa: PTH208
        except OSError:
            return []
        hashes = [name.removeprefix(marker.name) for name in names if name.startswith(marker.name)]
        return [edit for image in hashes for edit in self.list_edits(image)]

    def records(self) -> Iterator[Path]:
        """Every record's path, image by image."""
        return (path for path in sorted((self.folder / "v1").glob("??/*/*.safetensors")) if _NAME.fullmatch(path.name))

    def leftovers(self) -> Iterator[Path]:
        """What killed writers left: temporary files, which nothing reads."""
        return (self.folder / "v1").glob("??/*/*.incomplete")

    def link(self, stem: str, image: str) -> None:
        """Let ``find(stem)`` lead to an image's edits."""
        if stem and not self.readonly:
            marker = self._marker(stem, image)
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()

    def rebuild_index(self) -> int:
        """Make ``stems/`` again from the records; returns how many could be read."""
        all_metadata = [metadata for metadata in map(read_metadata, self.records()) if metadata]
        for metadata in all_metadata:
            self.link(metadata["source"], metadata["image"])
        return len(all_metadata)

    def _of(self, image: str) -> Path:
        return self.folder / "v1" / image[:2] / image

    def _marker(self, stem: str, image: str) -> Path:
        # Hashed: a stem may be longer than a file name, or hold what one cannot.
        digest = hashlib.sha256(stem.encode()).hexdigest()
        return self.folder / "stems" / digest[:2] / f"{digest[:32]}-{image}"


def draw_edit(held: Sequence[EditEntry], generator: torch.Generator) -> EditEntry:
    """One of an image's edits: a kind, each as likely, then one of its kind."""
    kinds = sorted({edit.kind for edit in held})
    kind = kinds[int(torch.randint(len(kinds), (), generator=generator))]
    of_kind = [edit for edit in held if edit.kind == kind]
    return of_kind[int(torch.randint(len(of_kind), (), generator=generator))]


def _key_of(metadata: dict[str, Any]) -> EditKey:
    return EditKey(**{name: metadata[name] for name in EditKey.__dataclass_fields__})
