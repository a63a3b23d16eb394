"""Read and write files on disks that are shared and not trusted: atomically, through no link, with retries."""

from __future__ import annotations

import errno
import json
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

T = TypeVar("T")

# A server that moved a file, a signal, a busy server: the same call succeeds a moment later.
_TRANSIENT = frozenset(getattr(errno, name, -1) for name in ("ESTALE", "EINTR", "EAGAIN", "EBUSY", "ETIMEDOUT"))
_PAUSES = (0.02, 0.05, 0.1, 0.3, 1.0)  # seconds between attempts
_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_BINARY = getattr(os, "O_BINARY", 0)


def retry(action: Callable[[], T], *errors: type[OSError]) -> T:
    """Call a function of the file system again, up to five times, while it fails for a transient reason.

    Args:
        action: The call; it must do no harm when it is repeated.
        errors: Further kinds of error that are transient for this call.

    Raises:
        OSError: The last error, or the first one that is not transient.
    """
    for pause in _PAUSES:
        try:
            return action()
        except OSError as error:
            if error.errno not in _TRANSIENT and not isinstance(error, errors):
                raise
        time.sleep(pause)
    return action()


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the place of ``path`` when the block ends, and is deleted when the block fails.

    The file is written beside its place under a name of its own that ends in ``.incomplete``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Cut by bytes: a file name may have 255 of them.
    stem = os.fsdecode(os.fsencode(path.stem)[:80]) if os.name == "posix" else path.stem[:80]
    beside = path.with_name(f"{stem}-{secrets.token_hex(8)}.incomplete")
    try:
        # 0o666 and not mkstemp's 0o600: the umask decides who may read a shared store.
        with os.fdopen(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY | _BINARY, 0o666), "wb") as file:
            yield file
        os.replace(beside, path)  # noqa: PTH105 - a link at `path` is replaced, not followed
    except BaseException:
        with suppress(OSError):  # the error that is raised says more
            beside.unlink(missing_ok=True)
        raise


def write_file(path: Path, content: bytes) -> None:
    """Write a file so that it is whole or absent, whoever else writes it and whenever the process dies.

    Raises:
        OSError: If the disk is full or the folder cannot be written to; no partial file is left.
    """

    def write() -> None:
        with replacing(path) as file:
            file.write(content)

    # A server may carry out a rename, lose its answer, and fail the repeated request: the source is gone by then.
    retry(write, FileNotFoundError)


def read_file(path: Path, limit: int) -> bytes | None:
    """Content of a regular file of at most ``limit`` bytes; ``None`` for a larger one, a link, a pipe or a device.

    Raises:
        OSError: If it is missing or cannot be read.
    """

    def read() -> bytes | None:
        with _open_regular(path) as file:
            return file.read() if file and os.fstat(file.fileno()).st_size <= limit else None

    return retry(read)


def read_head(path: Path, count: Callable[[bytes], int]) -> bytes | None:
    """First 8 bytes of a regular file, and as many more as ``count`` reads from these; ``None`` as ``read_file``.

    Raises:
        OSError: If it is missing or cannot be read.
    """

    def read() -> bytes | None:
        with _open_regular(path) as file:
            start = file.read(8) if file else b""
            return start + file.read(count(start)) if file else None

    return retry(read)


@contextmanager
def _open_regular(path: Path) -> Iterator[BinaryIO | None]:
    """An open regular file; ``None`` where the path is anything else. A pipe is not waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _NO_LINK | _BINARY)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EMLINK, errno.ENXIO):  # a link; a socket
            raise
        yield None
        return
    try:
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        with os.fdopen(descriptor, "rb", closefd=False) if is_file else nullcontext() as file:
            yield file
    finally:
        os.close(descriptor)


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading; links are followed. A pipe or device, which might never end, is refused.

    Raises:
        ValueError: If it is not a regular file.
        OSError: If it is missing or cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise ValueError("it is not a regular file")


def is_file(path: Path) -> bool:
    """Whether a path is a regular file itself, not a link to one."""
    return _has_mode(path, stat.S_ISREG)


def is_folder(path: Path) -> bool:
    """Whether a path is a folder itself, not a link to one."""
    return _has_mode(path, stat.S_ISDIR)


def _has_mode(path: Path, kind: Callable[[int], bool]) -> bool:
    try:
        return kind(retry(lambda: os.lstat(path)).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def list_folder(root: Path, *parts: str) -> list[os.DirEntry[str]]:
    """Entries of a folder below ``root``, sorted by name; none where it is missing or a link is on the way.

    Raises:
        OSError: If it cannot be read.
    """
    folder = root
    for part in parts:
        folder = folder / part
        if not is_folder(folder):
            return []

    def scan() -> list[os.DirEntry[str]]:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)

    try:
        return retry(scan)
    except FileNotFoundError:
        return []


def make_folder(root: Path, *parts: str) -> Path:
    """Make a folder below ``root`` and return it.

    Raises:
        NotADirectoryError: If one of ``parts`` is a link or a file: what is written would land elsewhere.
    """
    retry(lambda: root.mkdir(parents=True, exist_ok=True))
    for part in parts:
        root = root / part
        if not is_folder(root):
            with suppress(FileExistsError):
                retry(root.mkdir)
            if not is_folder(root):
                raise NotADirectoryError(
                    f"{root} must be a folder and no link: nothing is written through links inside a store. Delete it."
                )
    return root


def server_time(folder: Path) -> float:
    """Current time by the clock that dates the files of a folder, in seconds as ``st_mtime``."""
    probe = folder / f"clock-{secrets.token_hex(8)}.incomplete"
    try:
        descriptor = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        try:
            return os.fstat(descriptor).st_mtime
        finally:
            os.close(descriptor)
    finally:
        retry(lambda: probe.unlink(missing_ok=True))


def parse_json(text: str | bytes) -> Any:
    """JSON that a stranger wrote.

    Raises:
        ValueError: If it is not JSON, is nested too deeply, or holds NaN or infinity.
    """

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except RecursionError as error:
        raise ValueError("JSON is nested too deeply.") from error
