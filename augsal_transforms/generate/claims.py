"""What processes that fill one store tell each other: who is at which image, and which images cannot be edited.

Both are files named by the image, and advice only: what is done is what the store holds.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from augsal_transforms.files import write_file


def _file_of(name: str) -> str:
    """An image's name as a file's: hashed, for it may hold what a file name cannot."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


class Claims:
    """Who is at which image. A claim that a killed process left stands until somebody releases it.

    Args:
        store: The store's folder.
    """

    def __init__(self, store: Path) -> None:
        self.folder = store / "claims"
        self.folder.mkdir(parents=True, exist_ok=True)

    def take(self, name: str) -> bool:
        """Claim an image; ``False`` if somebody has."""
        try:
            self._path(name).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def release(self, name: str) -> None:
        """Give a claim up, whoever has it."""
        self._path(name).unlink(missing_ok=True)

    def stamp(self, name: str) -> int | None:
        """Tells a claim from a later one on the same image; ``None`` while there is none.

        Compare it with stamps only: the clocks of machines and of their file server differ.
        """
        try:
            return self._path(name).stat().st_mtime_ns
        except FileNotFoundError:
            return None

    def _path(self, name: str) -> Path:
        return self.folder / _file_of(name)


class Failures:
    """Images that could not be read or edited, each once, whoever met it and how often.

    Args:
        store: The store's folder; ``failures.jsonl`` in it is made from what is noted.
    """

    def __init__(self, store: Path) -> None:
        self.folder, self.table = store / "failures", store / "failures.jsonl"
        self.folder.mkdir(parents=True, exist_ok=True)

    def note(self, name: str, path: Path, error: Exception) -> None:
        """Note what is wrong with an image."""
        metadata = {"name": name, "path": str(path), "error": str(error)}
        write_file(self.folder / _file_of(name), json.dumps(metadata).encode())

    def clear(self, name: str) -> None:
        """Forget what was noted of an image: it is well again."""
        (self.folder / _file_of(name)).unlink(missing_ok=True)

    def write_table(self) -> None:
        """Write ``failures.jsonl``, a line an image; none is left where there is nothing to tell."""
        lines = sorted(path.read_text() for path in self.folder.iterdir() if path.suffix != ".incomplete")
        if lines:
            write_file(self.table, "".join(f"{line}\n" for line in lines).encode())
        else:
            self.table.unlink(missing_ok=True)
