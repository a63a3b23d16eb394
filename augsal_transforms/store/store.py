"""EditStore: edits on disk, made once and read by any number of workers.

Layout: ``v1/<aa>/<image hash>/<kind><α in thousandths>-<key>.safetensors``, so which edits of an image
exist is one ``listdir`` of its folder. ``stems/`` leads to image hashes from a source file's stem, and ``fast-hashes/``
from a fast hash of pixels; both can be made again from the records. A record is written beside its place and renamed:
there is no lock and no half record, writers of one key write the same edit, and the last one wins.

A store may come from a stranger: its folders and records are read where they are no links, names of another form
are skipped, and a record is believed after it is checked.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from augsal_transforms.editor.results import EditedImage
from augsal_transforms.files import is_folder, list_folder, make_folder, retry, write_file
from augsal_transforms.store.entries import EditEntry, ImageEdit, draw_edit, read_edit, to_entry
from augsal_transforms.store.fast_names import find_name, note_name
from augsal_transforms.store.keys import FILE_NAME, HASH, EditKey, fast_hash, image_hash
from augsal_transforms.store.records import StoredEdit, encode, read_metadata

__all__ = ["EditEntry", "EditStore", "ImageEdit", "draw_edit"]

_TEMPORARY = re.compile(r".+-[0-9a-f]{16}\.incomplete", re.DOTALL)
_FILL = "`augsal generate --data DATA --store {0}` makes edits of a data set and stores them."


class EditStore:
    """Edits on disk, found by the original's pixels.

    Args:
        folder: The store's folder; ``put`` makes it.
        readonly: Open a store to read its edits: it must have some, and ``put`` does nothing.

    Raises:
        FileNotFoundError: For a read-only store that is not there or has no edit.
    """

    def __init__(self, folder: str | Path, *, readonly: bool = False) -> None:
        self.folder, self.readonly = Path(folder), readonly
        if readonly:
            self.require_edits()

    def __repr__(self) -> str:
        return f"EditStore({str(self.folder)!r}{', readonly=True' if self.readonly else ''})"

    def require_edits(self) -> None:
        """Check that there is an edit to read: training from an empty store would go on without any augmentation.

        Raises:
            FileNotFoundError: If there is none.
        """
        with suppress(PermissionError):  # there are images, of which this user may read others
            if next(self.records(), None) is None:
                is_store = is_folder(self.folder / "v1")
                found = "There is no edit in the store" if is_store else "There is no store of edits"
                raise FileNotFoundError(f"{found} at {self.folder}. {_FILL.format(self.folder)}")

    def path(self, key: EditKey) -> Path:
        """Path at which ``put`` writes the record of an edit."""
        return self.folder / "v1" / key.image[:2] / key.image / key.filename

    def __contains__(self, key: EditKey) -> bool:
        return self.get(key) is not None  # a damaged record is made again

    def put(self, key: EditKey, original: Tensor, result: EditedImage, *, source: str = "", about: Any = None) -> None:
        """Write an edit; see ``records.encode``. An existing record of the key is replaced.

        Raises:
            ValueError: For images that are not uint8, and edits that no record can hold.
            OSError: If the disk is full, the folder cannot be written to, or a link leads out of it; no partial file
                is left.
        """
        if self.readonly:
            return
        record = encode(key, original, result, source=source, about=about)
        self.write(key, record, source=source, fast=fast_hash(original))

    def write(self, key: EditKey, record: bytes, *, source: str = "", fast: str = "") -> None:
        """Write the record of an edit as ``records.encode`` made it.

        Args:
            key: The edit's key.
            record: The record.
            source: The file stem of the original, or "".
            fast: ``fast_hash`` of the original; without it the edit is found as older ones are.

        Raises:
            OSError: As ``put``.
        """
        folder = make_folder(self.folder, "v1", key.image[:2], key.image)
        write_file(folder / key.filename, record)
        self.link(source, key.image, fast=fast)

    def get(self, key: EditKey) -> StoredEdit | None:
        """An edit by its key, from a record of this schema or of the one before; ``None`` if missing or damaged."""
        names = set(self.file_names(key.image))
        paths = [self.path(key).with_name(name) for name in key.file_names() if name in names]
        return next((stored for path in paths if (stored := self.read(path))), None)

    def read(self, path: Path) -> StoredEdit | None:
        """An edit by the path of its record; ``None`` if it is missing, damaged, or not the one that its name says."""
        try:
            return read_edit(path)
        except OSError:
            return None

    def file_names(self, image: str) -> list[str]:
        """Names of the records of an image, given by its ``image_hash``; none where its folder cannot be read."""
        if not HASH.fullmatch(image):
            return []
        try:
            entries = list_folder(self.folder, "v1", image[:2], image)
            return [entry.name for entry in entries if _is_record(entry)]
        except OSError:
            return []

    def list_edits(self, image: Tensor | str) -> list[EditEntry]:
        """The edits of an image, sorted.

        Args:
            image: The original's pixels (3, H, W), or their ``image_hash``.
        """
        if not isinstance(image, str):
            return self._find(image)[0]
        folder = self.folder / "v1" / image[:2] / image
        return sorted(to_entry(folder / file_name) for file_name in self.file_names(image))

    def edits_of(self, image: Tensor) -> list[ImageEdit]:
        """The edits of an image, sorted; each is read when its ``load`` is called.

        Args:
            image: The original, (3, H, W), uint8 or float in [0, 1], before any resize, crop or Normalize.
        """
        plain = image.as_subclass(Tensor)
        entries, known_hash = self._find(plain)
        return [ImageEdit(**vars(entry), image=plain, known_hash=known_hash) for entry in entries]

    def _find(self, image: Tensor) -> tuple[list[EditEntry], str]:
        """The edits of an image, and the hash of it that was computed for this."""
        fast = fast_hash(image)
        if (name := find_name(self.folder, fast)) and (entries := self.list_edits(name)):
            return entries, fast
        name = image_hash(image)
        return self.list_edits(name), name

    def find(self, stem: str) -> list[EditEntry]:
        """The edits of the images whose file had this stem; several images may share one."""
        shard, start = _marker(stem)
        try:
            names = [entry.name for entry in list_folder(self.folder, "stems", shard)]
        except OSError:
            return []
        images = [name.removeprefix(start) for name in names if name.startswith(start)]
        return [edit for image in images for edit in self.list_edits(image)]

    def records(self) -> Iterator[Path]:
        """Path of every record, image by image, sorted."""
        return (Path(entry.path) for entry in self._files() if _is_record(entry))

    def temporary_files(self) -> Iterator[Path]:
        """Path of every temporary file that a killed writer of records left."""
        return (Path(entry.path) for entry in self._files() if is_temporary(entry))

    def link(self, stem: str, image: str, *, fast: str = "") -> None:
        """Let ``find(stem)`` lead to an image's edits, and the image's ``fast_hash``."""
        if fast and not self.readonly:
            note_name(self.folder, fast, image)
        if stem and not self.readonly:
            shard, start = _marker(stem)
            path = make_folder(self.folder, "stems", shard) / (start + image)
            with suppress(FileExistsError):
                os.close(retry(lambda: os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)))

    def rebuild_index(self) -> int:
        """Make ``stems/`` and ``fast-hashes/`` again from the records; returns how many records could be read."""
        count = 0
        for path in self.records():
            metadata = read_metadata(path)
            if metadata and metadata["image"] == path.parent.name:
                self.link(metadata["source"], metadata["image"], fast=metadata.get("fast_hash", ""))
                count += 1
        return count

    def _files(self) -> Iterator[os.DirEntry[str]]:
        """Entries of the images' folders; names of another form are skipped."""
        for shard in list_folder(self.folder, "v1"):
            if re.fullmatch(r"[0-9a-f]{2}", shard.name):
                for image in list_folder(self.folder, "v1", shard.name):
                    if HASH.fullmatch(image.name) and image.name.startswith(shard.name):
                        yield from list_folder(self.folder, "v1", shard.name, image.name)


def is_temporary(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a temporary file of ``files.write_file``."""
    return bool(_TEMPORARY.fullmatch(entry.name)) and entry.is_file(follow_symlinks=False)


def _is_record(entry: os.DirEntry[str]) -> bool:
    return bool(FILE_NAME.fullmatch(entry.name)) and entry.is_file(follow_symlinks=False)


def _marker(stem: str) -> tuple[str, str]:
    """Folder of a stem in ``stems/``, and the beginning of its files' names, which end with an image hash."""
    # Hashed: a stem may be longer than a file name, or hold what one cannot.
    digest = hashlib.sha256(stem.encode("utf-8", "surrogatepass")).hexdigest()
    return digest[:2], f"{digest[:32]}-"
