"""Looking after a store: is it sound, what holds it, what do killed writers leave, and how it is moved."""

from __future__ import annotations

import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from augsal_transforms.store.records import read_metadata
from augsal_transforms.store.store import EditStore


def damaged_records(store: EditStore) -> Iterator[Path]:
    """Records that cannot be read back whole. To readers they are misses; ``Generation`` takes them for made."""
    return (path for path in store.records() if store.read(path) is None)


def repair(store: EditStore) -> list[Path]:
    """Delete damaged records, so that they are made again, and make the index of stems anew; returns the deleted."""
    damaged = list(damaged_records(store))
    for path in damaged:
        path.unlink(missing_ok=True)
    store.rebuild_index()
    return damaged


def collect_garbage(store: EditStore, *, minutes: float = 60.0) -> int:
    """Delete temporary files and claims that killed processes left; returns how many.

    Args:
        store: The store.
        minutes: Younger ones may belong to a process that is alive.
    """
    before = time.time() - 60 * minutes
    old = [path for path in (*store.leftovers(), *(store.folder / "claims").glob("*")) if path.stat().st_mtime < before]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def statistics(store: EditStore) -> dict[str, Any]:
    """What a store holds: edits by kind, word and bound, images, bytes, mean strength."""
    kinds, words, bounds, images = Counter[str](), Counter[str](), Counter[str](), set[str]()
    size, strengths = 0, list[float]()
    for path in store.records():
        metadata = read_metadata(path)
        if metadata is None:
            continue
        size += path.stat().st_size
        images.add(metadata["image"])
        kinds[metadata["kind"]] += 1
        words[metadata["word"]] += 1
        bounds[metadata["bound_by"]] += 1
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


def pack(store: EditStore, out: Path, *, shard_bytes: int = 10**9) -> list[Path]:
    """Write a store as tar files, for file systems that count files; ``tar xf`` in a folder makes a store of them.

    Members keep their paths, records of one image stay together, and every record is one sample of WebDataset.

    Args:
        store: The store.
        out: The folder for ``edits-000000.tar`` and so on.
        shard_bytes: A file is closed when it has so many.

    Raises:
        FileExistsError: If there are such files already.
    """
    if any(out.glob("edits-*.tar")):
        raise FileExistsError(f"{out} holds edits-*.tar already; give another folder.")
    out.mkdir(parents=True, exist_ok=True)
    shards, size = [list[Path]()], 0
    for _, group in groupby(store.records(), key=lambda path: path.parent):
        if size >= shard_bytes:
            shards, size = [*shards, []], 0
        records = list(group)
        shards[-1] += records
        size += sum(record.stat().st_size for record in records)
    files = [out / f"edits-{n:06d}.tar" for n in range(len(shards))]
    for file, members in zip(files, shards, strict=True):
        with tarfile.open(file, "w") as tar:
            for record in members:
                tar.add(record, record.relative_to(store.folder))
    return files
