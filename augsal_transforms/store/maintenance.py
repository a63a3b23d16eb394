"""Maintenance of a store: find and delete damaged records, collect garbage, count its edits."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from augsal_transforms.files import is_file, list_folder, retry, server_time
from augsal_transforms.store.records import read_metadata
from augsal_transforms.store.store import EditStore, is_temporary

_CLAIM = re.compile(r"[0-9a-f]{32}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # could command the terminal that shows a stranger's words


def damaged_records(store: EditStore) -> Iterator[Path]:
    """Records that cannot be read back whole. To readers they are missing; ``Generation`` counts them as made."""
    return (path for path in store.records() if store.read(path) is None)


def repair(store: EditStore) -> list[Path]:
    """Delete damaged records, so that they are made again, and rebuild the index of stems.

    Returns:
        The deleted records.
    """
    damaged = list(damaged_records(store))
    for path in damaged:
        path.unlink(missing_ok=True)
    store.rebuild_index()
    return damaged


def collect_garbage(store: EditStore, *, minutes: float = 60.0) -> int:
    """Delete the temporary files and claims that killed processes left; returns how many.

    Ages are measured by the clock of the store's disk: this machine's clock may differ from a file server's.

    Args:
        store: The store.
        minutes: Age in minutes, 0 or more. Younger files may belong to a process that is alive.

    Raises:
        ValueError: If ``minutes`` is negative or not finite.
    """
    if not (math.isfinite(minutes) and minutes >= 0):
        raise ValueError(f"`minutes` must be 0 or more and finite, got {minutes!r}.")
    before, count = server_time(store.folder) - 60 * minutes, 0
    for path in _garbage(store):
        try:
            is_old = retry(lambda path=path: os.lstat(path)).st_mtime <= before  # type: ignore[misc]
        except FileNotFoundError:
            continue  # its owner lives and has deleted it
        if is_old and is_file(path):
            path.unlink(missing_ok=True)
            count += 1
    return count


def _garbage(store: EditStore) -> Iterator[Path]:
    """Every temporary file and claim, young and old."""
    yield from store.leftovers()
    for parts in ((), ("claims",), ("failures",)):
        for entry in list_folder(store.folder, *parts):
            is_claim = parts == ("claims",) and _CLAIM.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
            if is_claim or is_temporary(entry):
                yield Path(entry.path)


def statistics(store: EditStore) -> dict[str, Any]:
    """Counts of a store: edits by kind, word and bound, images, bytes, mean strength."""
    kinds, words, bounds, images = Counter[str](), Counter[str](), Counter[str](), set[str]()
    size, strengths = 0, list[float]()
    for path in store.records():
        metadata = read_metadata(path)
        if metadata is None:
            continue
        size += path.stat().st_size
        images.add(metadata["image"])
        kinds[metadata["kind"]] += 1
        words[_CONTROL.sub("\ufffd", metadata["word"])] += 1
        bounds[_CONTROL.sub("\ufffd", metadata["bound_by"])] += 1
        strengths.append(metadata["strength"])
    return {
        "edits": len(strengths),
        "images": len(images),
        "bytes": size,
        "kinds": dict(sorted(kinds.items())),
        "words": dict(words.most_common(10)),
        "bound_by": dict(bounds.most_common()),
        "strength": sum(strengths) / len(strengths) if strengths else None,
    }
