"""Claims and failures, the files through which processes that fill one store share the work.

A claim says that a process is at an image; a failure says why an image could not be edited. Both are files named by
the image, and advice only: the work that is done is what the store holds.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from augsal_transforms.data.pictures import Source
from augsal_transforms.files import is_file, list_folder, make_folder, parse_json, read_file, retry, write_file

_NOTE = re.compile(r"[0-9a-f]{32}")
_MAX_NOTE = 1 << 20  # bytes
_LOOKS = 60  # at standing claims while they are waited for, at most ten in a second


def _file_of(name: str) -> str:
    """An image's name as a file name: hashed, since it may have characters that a file name cannot."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class Claims:
    """Claims of processes on images. The claim of a killed process stands until somebody releases it.

    Args:
        store: The store's folder.
    """

    def __init__(self, store: Path) -> None:
        self.store, self.folder = store, store / "claims"

    def take(self, name: str) -> bool:
        """Claim an image; ``False`` if somebody has."""
        path = make_folder(self.store, "claims") / _file_of(name)
        try:
            os.close(retry(lambda: os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)))
        except FileExistsError:
            return not is_file(path)  # anything else of this name is no claim, and nobody will release it
        return True

    def release(self, name: str) -> None:
        """Delete the claim on an image, whoever has it."""
        path = self._path(name)
        if is_file(path):
            retry(lambda: path.unlink(missing_ok=True))

    def discard(self, name: str) -> None:
        """Delete a claim that a killed process left on a finished image, where the store can be written to."""
        with suppress(OSError):
            self.release(name)

    def outwait(self, names: Iterable[str], seconds: float) -> None:
        """Wait until claims are released, and release those that stand unchanged after ``seconds``.

        Args:
            names: Images that others have claimed.
            seconds: Time after which the owner of a claim is taken for dead.
        """
        stamps = {name: stamp for name in names if (stamp := self.stamp(name)) is not None}
        deadline = time.monotonic() + seconds
        while stamps and time.monotonic() < deadline:
            time.sleep(max(0.1, seconds / _LOOKS))
            stamps = {name: stamp for name, stamp in stamps.items() if self.stamp(name) == stamp}
        for name in stamps:
            self.release(name)

    def stamp(self, name: str) -> int | None:
        """Time at which the claim on an image was made, in nanoseconds of the server's clock; ``None`` without one.

        Compare it with other stamps only: the clocks of machines and of their file server differ.
        """
        path = self._path(name)
        try:
            return retry(path.lstat).st_mtime_ns if is_file(path) else None
        except FileNotFoundError:
            return None

    def _path(self, name: str) -> Path:
        return self.folder / _file_of(name)


class Failures:
    """Images that could not be read or edited, each listed once, whichever processes failed and how often.

    Args:
        store: The store's folder; ``failures.jsonl`` in it is made from the notes in ``failures``.
    """

    def __init__(self, store: Path) -> None:
        self.store, self.folder, self.table = store, store / "failures", store / "failures.jsonl"

    def note(self, name: str, path: Source, error: Exception) -> None:
        """Note why an image could not be edited."""
        text = str(error) or type(error).__name__
        content = json.dumps({"name": name, "path": str(path), "error": text[:10_000]}).encode()
        _write_if_new(make_folder(self.store, "failures") / _file_of(name), content)

    def clear(self, name: str) -> None:
        """Delete the note on an image that has been edited since."""
        path = self.folder / _file_of(name)
        if is_file(path):
            retry(lambda: path.unlink(missing_ok=True))

    def discard(self, name: str) -> None:
        """Delete the note on a finished image, where the store can be written to."""
        with suppress(OSError):
            self.clear(name)

    def write_table(self) -> None:
        """Write ``failures.jsonl``, one line for each noted image; without notes the file is deleted."""
        entries = [entry for entry in list_folder(self.store, "failures") if _NOTE.fullmatch(entry.name)]
        lines = sorted(line for entry in entries if (line := _read_note(Path(entry.path))))
        if lines:
            _write_if_new(self.table, "".join(f"{line}\n" for line in lines).encode())
        elif is_file(self.table):
            self.table.unlink(missing_ok=True)


def _read_note(path: Path) -> str:
    """A note as one line of JSON; "" for a file that is no note."""
    try:
        note = parse_json(read_file(path, _MAX_NOTE) or b"")
        return json.dumps({name: str(note[name]) for name in ("name", "path", "error")})
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return ""


def _write_if_new(path: Path, content: bytes) -> None:
    """Write a file unless it has this content already: a finished store may be on a disk that is read-only."""
    with suppress(FileNotFoundError):
        if read_file(path, len(content)) == content:
            return
    write_file(path, content)
