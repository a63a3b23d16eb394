"""A store as tar files, for file systems that count files and for WebDataset."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from augsal_transforms.files import is_file, list_folder, parse_json, read_file, replacing, write_file
from augsal_transforms.store.store import EditStore, is_temporary

_SHARD = re.compile(r"edits-[0-9]{6,}\.tar")
_MARKER = "edits.unfinished"  # names the files that a run began; the run deletes it when all of them are written


def pack(store: EditStore, out: Path, *, shard_bytes: int = 10**9) -> list[Path]:
    """Write a store as tar files; ``tar xf`` of them in a folder makes a store again.

    Members keep their paths, records of one image stay together, and every record is one sample of WebDataset. A file
    is whole or absent. A run that was cut off is done again by the same call.

    Args:
        store: The store.
        out: The folder for ``edits-000000.tar`` and so on.
        shard_bytes: Number of bytes at which a file is closed, 1 or more.

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
        _write_tar(file, records, store.folder)
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


def _write_tar(file: Path, records: Sequence[Path], folder: Path) -> None:
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
