"""Pixel hashes of images and maps that were read before, by which a finished image is recognised without decoding it.

Files in the store's folder ``known-files``, one for each run that read new images, and advice only: what is to be made
is always read. An entry is found by the sizes, times and numbers (inodes) of an image's files. A copy, a file that was
renamed, linked or edited, a store of another machine and other versions of the decoders therefore match no entry.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import stat
import struct
import time
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import PIL
import PIL.features
import torch

from augsal_transforms.data.pictures import Picture, Source
from augsal_transforms.files import list_folder, make_folder, read_file, write_file

FOLDER = "known-files"
_NAME = re.compile(r"[0-9a-f]{16}\.known")
_MAGIC = b"augsal known files 1\n"
_ENTRY = struct.Struct(">16s32s32sq")  # state of the files, hash of the image, hash of its map, time of the entry
_MOST_BYTES = 1 << 28  # of a file: three million images
_MANY = 16  # files, after which a run writes one in their place
_YOUNG = 2 * 10**9  # nanoseconds: the coarsest clock of a file system, by which a second edit may go unseen
_SECONDS = 30.0  # between two writes of a run

Hashes = tuple[str, str]  # of the image and of its map


def state_of(image: Source, saliency_map: Source) -> bytes | None:
    """Digest of all that the pixels of an image and of its map follow from, without reading them.

    Returns:
        16 bytes; ``None`` where this is not known, or where a file is so young that it may be edited in the same tick.
    """
    digest = hashlib.sha256()
    try:
        for source in (image, saliency_map):
            settings = source.settings() if isinstance(source, Picture) else ""
            status = (source.source if isinstance(source, Picture) else source).stat()
            newest = max(status.st_mtime_ns, status.st_ctime_ns)
            if settings is None or not stat.S_ISREG(status.st_mode) or time.time_ns() - newest < _YOUNG:
                return None
            numbers = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
            digest.update(f"{numbers} {settings}\n".encode("utf-8", "surrogatepass"))
    except (OSError, TypeError, ValueError):  # the reader meets it again, and names it
        return None
    return digest.digest()[:16]


class KnownFiles:
    """The entries of a store, and those that this run adds.

    Args:
        store: The store's folder. Nothing is read before the first ``find``, or written before ``write``.
    """

    def __init__(self, store: Path) -> None:
        self.store = store
        self._found: dict[bytes, Hashes] | None = None
        self._own: dict[bytes, tuple[Hashes, int]] = {}
        self._path = store / FOLDER / f"{secrets.token_hex(8)}.known"
        self._written, self._due = 0, time.monotonic() + _SECONDS
        self._replaced: list[tuple[Path, int]] = []  # files whose entries are ours too, with their times

    def find(self, state: bytes | None) -> Hashes | None:
        """The hashes of the image and the map whose files are in this state, if they were read before."""
        if self._found is None:
            self._found = self._read()
        return None if state is None else self._found.get(state)

    def add(self, state: bytes, hashes: Hashes) -> None:
        """Add an entry; the files were in this state before and after they were read."""
        self._own[state] = (hashes, time.time_ns())

    def write(self, *, now: bool = True) -> None:
        """Write what was added, whole or not at all, where the store can be written to.

        Args:
            now: Whether to write at once, and not only when some time has passed since the last write.
        """
        if len(self._own) == self._written or not (now or time.monotonic() >= self._due):
            return
        own = dict(self._own)
        body = b"".join(
            _ENTRY.pack(state, bytes.fromhex(image), bytes.fromhex(saliency_map), made)
            for state, ((image, saliency_map), made) in own.items()
        )
        with suppress(OSError):  # full or read-only: the images are read again another time
            make_folder(self.store, FOLDER)
            write_file(self._path, _MAGIC + _versions() + hashlib.sha256(body).digest() + body)
            self._written = len(own)
            for path, changed in self._replaced:
                if path.lstat().st_mtime_ns == changed:  # a run that lives writes its file again, with all its entries
                    path.unlink(missing_ok=True)
            self._replaced = []
        self._due = time.monotonic() + _SECONDS

    def _read(self) -> dict[bytes, Hashes]:
        found, latest = dict[bytes, tuple[Hashes, int]](), time.time_ns()
        with suppress(OSError):
            entries = [entry for entry in list_folder(self.store, FOLDER) if _NAME.fullmatch(entry.name)]
            for entry in entries:
                with suppress(OSError):
                    found.update(_entries(read_file(Path(entry.path), _MOST_BYTES) or b""))
            if len(entries) > _MANY:
                self._own = {**found, **self._own}
                self._replaced = [
                    (Path(entry.path), entry.stat(follow_symlinks=False).st_mtime_ns)
                    for entry in entries
                    if entry.is_file(follow_symlinks=False)
                ]
        # An entry from the future: the clock went back since, and times of files may come a second time.
        return {state: hashes for state, (hashes, made) in found.items() if made <= latest}


def _entries(content: bytes) -> dict[bytes, tuple[Hashes, int]]:
    """The entries of a file; none where it is damaged, of another form, or of other versions."""
    head = _MAGIC + _versions()
    checksum, body = content[len(head) : len(head) + 32], content[len(head) + 32 :]
    if not content.startswith(head) or hashlib.sha256(body).digest() != checksum or len(body) % _ENTRY.size:
        return {}
    rows = _ENTRY.iter_unpack(body)
    return {state: ((image.hex(), saliency_map.hex()), made) for state, image, saliency_map, made in rows}


@cache
def _versions() -> bytes:
    """Digest of the versions of everything that decodes and converts pixels."""
    decoders = [PIL.features.version(name) for name in ("jpg", "libjpeg_turbo", "webp", "zlib")]
    own = version("augsal-transforms")
    return hashlib.sha256(repr((own, PIL.__version__, decoders, np.__version__, torch.__version__)).encode()).digest()
