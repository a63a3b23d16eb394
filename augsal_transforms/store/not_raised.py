"""Notes on edits that a gate let no candidate of pass, so that they are counted and not tried again.

A note is one JSON file in the store's folder ``not-raised``, named by the keys of all candidates.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from augsal_transforms.editor.results import EditedImage
from augsal_transforms.files import is_file, list_folder, make_folder, write_file
from augsal_transforms.store.keys import EditKey

FOLDER = "not-raised"
_NOTE = re.compile(r"[0-9a-f]{32}\.json")


class NotRaised:
    """The notes of a store.

    Args:
        store: The store's folder.
    """

    def __init__(self, store: Path) -> None:
        self.store = store

    def has(self, candidates: Iterable[EditKey]) -> bool:
        """Whether exactly these candidates were tried, and none passed."""
        return is_file(self.store / FOLDER / _name(candidates))

    def note(self, candidates: Sequence[EditKey], result: EditedImage, *, source: str = "") -> None:
        """Note what was tried and what it did.

        Args:
            candidates: Keys of all candidates.
            result: The unedited result, with ``tried``.
            source: The file stem of the original.

        Raises:
            OSError: If the store cannot be written to.
        """
        tried = [asdict(trial) for trial in result.tried]
        content = {"source": source, "image": candidates[0].image, "word": result.word, "tried": tried}
        path = make_folder(self.store, FOLDER) / _name(candidates)
        write_file(path, json.dumps(content, sort_keys=True, allow_nan=False).encode())

    def count(self) -> int:
        """Number of notes."""
        return sum(1 for entry in list_folder(self.store, FOLDER) if _NOTE.fullmatch(entry.name))


def _name(candidates: Iterable[EditKey]) -> str:
    digest = hashlib.sha256("".join(sorted(key.digest() for key in candidates)).encode())
    return f"{digest.hexdigest()[:32]}.json"
