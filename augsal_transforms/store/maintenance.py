"""Maintenance of a store: find and delete damaged records, collect garbage, count its edits, pack it as tar files."""

from __future__ import annotations

import io
import json
import math
import os
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from augsal_transforms.files import (
    is_file,
    list_folder,
    parse_json,
    read_file,
    replacing,
    retry,
    server_time,
    write_file,
)
from augsal_transforms.store.fast_names import FOLDER as FAST_HASHES
from augsal_transforms.store.not_raised import FOLDER as NOT_RAISED
from augsal_transforms.store.not_raised import NotRaised
from augsal_transforms.store.records import read_metadata
from augsal_transforms.store.store import EditStore, is_temporary

Progress = Callable[[Sequence[Path]], Any]

_CLAIM = re.compile(r"[0-9a-f]{32}")
_SHARD = re.compile(r"edits-[0-9]{6,}\.tar")
_MARKER = "edits.unfinished"  # names the files that a run began; the run deletes it when all of them are written
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # could command the terminal that shows a stranger's words


def damaged_records(store: EditStore, *, progress: Progress = iter) -> Iterator[Path]:
    """Records that cannot be read back whole. To readers they are missing; ``Generation`` counts them as made.

    Args:
        store: The store.
        progress: Wrapper of the records that is iterated over, such as ``tqdm``.
    """
    return (path for path in progress(list(store.records())) if store.read(path) is None)


def repair(store: EditStore, *, progress: Progress = iter) -> list[Path]:
    """Delete damaged records, so that they are made again, and rebuild the indices.

    Args:
        store: The store.
        progress: Wrapper of the records that is iterated over, such as ``tqdm``.

    Returns:
        The deleted records.
    """
    damaged = list(damaged_records(store, progress=progress))
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
    yield from store.temporary_files()
    shards = [(FAST_HASHES, entry.name) for entry in list_folder(store.folder, FAST_HASHES)]
    for parts in ((), ("claims",), ("failures",), (NOT_RAISED,), ("known-files",), *shards):
        for entry in list_folder(store.folder, *parts):
            is_claim = parts == ("claims",) and _CLAIM.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
            if is_claim or is_temporary(entry):
                yield Path(entry.path)


def statistics(store: EditStore, *, progress: Progress = iter) -> dict[str, Any]:
    """Counts of a store: edits by kind, word and bound, images, bytes, mean strength; what a gate chose and did not.

    Args:
        store: The store.
        progress: Wrapper of the records that is iterated over, such as ``tqdm``.
    """
    kinds, words, bounds, images = Counter[str](), Counter[str](), Counter[str](), set[str]()
    size, strengths, rises = 0, list[float](), list[float]()
    for path in progress(list(store.records())):
        metadata = read_metadata(path)
        if metadata is None or not is_file(path):
            continue
        size += path.lstat().st_size
        images.add(metadata["image"])
        kinds[metadata["kind"]] += 1
        words[_CONTROL.sub("\ufffd", metadata["word"])] += 1
        bounds[_CONTROL.sub("\ufffd", metadata["bound_by"])] += 1
        strengths.append(metadata["strength"])
        rises += [metadata["rise"]] if "rise" in metadata else []
    return {
        "edits": len(strengths),
        "images": len(images),
        "bytes": size,
        "kinds": dict(sorted(kinds.items())),
        "words": dict(words.most_common(10)),
        "bound_by": dict(bounds.most_common()),
        "strength": sum(strengths) / len(strengths) if strengths else None,
        "raised": len(rises),
        "rise": sum(rises) / len(rises) if rises else None,
        "not_raised": NotRaised(store.folder).count(),
    }


def pack(store: EditStore, out: Path, *, shard_bytes: int = 10**9, progress: Progress = iter) -> list[Path]:
    """Write a store as tar files; ``tar xf`` of them in a folder makes a store again.

    Members keep their paths, records of one image stay together, and every record is one sample of WebDataset. A file
    is whole or absent. A run that was cut off is done again by the same call.

    Args:
        store: The store.
        out: The folder for ``edits-000000.tar`` and so on.
        shard_bytes: Number of bytes at which a file is closed, 1 or more.
        progress: Wrapper of a file's records that is iterated over, such as ``tqdm``.

    Raises:
        FileExistsError: If the folder has such files of a finished run.
        ValueError: If ``shard_bytes`` is less than 1.
    """
    if shard_bytes < 1:
        raise ValueError(f"`shard_bytes` must be 1 or more, got {shard_bytes!r}.")
    unfinished = _unfinished(out)
    if foreign := [
        entry.name for entry in list_folder(out) if _SHARD.fullmatch(entry.name) and entry.name not in unfinished
    ]:
        raise FileExistsError(f"{out} has {foreign[0]} already; name another folder.")
    shards = _divide(store, shard_bytes)
    files = [out / f"edits-{n:06d}.tar" for n in range(len(shards))]
    write_file(out / _MARKER, json.dumps(sorted({*unfinished, *(file.name for file in files)})).encode())
    for entry in list_folder(out):
        is_ours = entry.name in unfinished or (entry.name.startswith("edits") and is_temporary(entry))
        if unfinished and is_ours and entry.is_file(follow_symlinks=False):
            Path(entry.path).unlink(missing_ok=True)
    for file, records in zip(files, shards, strict=True):
        _write_tar(file, progress(records), store.folder)
    (out / _MARKER).unlink()
    return files


def _unfinished(out: Path) -> list[str]:
    """Names of the files that a run which was cut off began."""
    if not is_file(out / _MARKER):
        return []
    try:
        names = parse_json(read_file(out / _MARKER, 1 << 26) or b"[]")
    except ValueError:
        names = []
    return [name for name in names if isinstance(name, str) and _SHARD.fullmatch(name)]


def _divide(store: EditStore, shard_bytes: int) -> list[list[Path]]:
    """Records for each file; those of one image stay together."""
    shards, size = [list[Path]()], 0
    for _, group in groupby(store.records(), key=lambda path: path.parent):
        if size >= shard_bytes:
            shards, size = [*shards, []], 0
        records = list(group)
        shards[-1] += records
        size += sum(record.stat().st_size for record in records)
    return shards


def _write_tar(file: Path, records: Iterable[Path], folder: Path) -> None:
    """Write the content of records, whatever links they share on this disk."""
    with replacing(file) as stream, tarfile.open(fileobj=stream, mode="w") as tar:
        for record in records:
            status = record.stat()
            content = read_file(record, status.st_size)
            if content is None:
                raise OSError(f"{record} changed while the store was packed; run the same command again.")
            member = tarfile.TarInfo(record.relative_to(folder).as_posix())
            member.size, member.mtime, member.mode = len(content), int(status.st_mtime), 0o644
            tar.addfile(member, io.BytesIO(content))
