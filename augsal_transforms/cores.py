"""The CPU threads of a process: its share of the cores, beside the other processes of this package on the machine."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

try:
    import fcntl
except ImportError:  # Windows: other processes are not seen
    fcntl = None  # type: ignore[assignment]

CGROUPS = Path("/sys/fs/cgroup")
PAUSE = 1.0  # seconds between looks at the other processes


class CoreShare:
    """The share of the cores that this process computes with.

    ``OMP_NUM_THREADS`` counts most. Without it the cores that the process may use (affinity mask, limits of its
    container) are divided by the number of processes that share them. Processes find each other through locked files
    in a folder of the machine's temporary files. The system unlocks the file of a process that ends, however it ends.

    Args:
        threads: Number of threads; ``None`` for the rule above.
        together: Number of processes that a launcher has started on this machine; some may not have begun yet.
        folder: Folder of the locked files; ``None`` for the user's own.

    Raises:
        ValueError: If ``threads`` is less than 1.
    """

    def __init__(self, threads: int | None = None, *, together: int = 1, folder: Path | None = None) -> None:
        if threads is not None and threads < 1:
            raise ValueError(f"`threads` must be 1 or more, got {threads!r}.")
        self.threads = threads or (torch.get_num_threads() if os.environ.get("OMP_NUM_THREADS") else None)
        self.together, self.most = together, torch.get_num_threads()
        self.folder = _own_folder() if folder is None else folder
        self._file: Any = None
        self._last = -PAUSE

    def __enter__(self) -> CoreShare:
        self.take()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def follow(self) -> None:
        """Take the share anew as processes begin and end; for loops, since it looks at most once a second."""
        if time.monotonic() - self._last >= PAUSE:
            self.take()

    def take(self) -> int:
        """Set the number of threads of torch to this process's share, and return it."""
        self._last = time.monotonic()
        self._show()
        threads = self.threads or max(1, min(self.most, usable_cores() // self.count()))
        if threads != torch.get_num_threads():
            torch.set_num_threads(threads)
        return threads

    def count(self) -> int:
        """Number of processes that share the cores of this one, itself included."""
        others = 0 if self.folder is None or fcntl is None else sum(map(self._is_beside, self._list()))
        return max(self.together, 1 + others)

    def describe(self) -> str:
        """One line on the number of threads and where it comes from."""
        threads, count = self.take(), self.count()
        return (
            f"{threads} CPU thread{'s' * (threads > 1)}: "
            + ("as asked for" if self.threads else f"{usable_cores()} cores, {count} process{'es' * (count > 1)}")
            + (f" ({count} processes are running)" if self.threads and count > 1 else "")
        )

    def release(self) -> None:
        """Leave the cores to the other processes."""
        if self._file is not None:
            with suppress(OSError):
                Path(self._file.name).unlink(missing_ok=True)
            self._file.close()
            self._file = None

    def _show(self) -> None:
        """Hold a locked file, so that other processes count this one."""
        if self.folder is None or fcntl is None or (self._file is not None and Path(self._file.name).exists()):
            return
        self.release()
        with suppress(OSError):  # a full or read-only disk: then nobody is seen, and the work goes on
            self._file = tempfile.NamedTemporaryFile(  # noqa: SIM115 - held for as long as this process computes
                dir=self.folder, prefix="process-", delete=False
            )
            fcntl.flock(self._file, fcntl.LOCK_EX)
            self._file.write(",".join(map(str, sorted(_cores()))).encode())
            self._file.flush()

    def _list(self) -> list[Path]:
        with suppress(OSError):
            return [path for path in (self.folder or Path()).glob("process-*") if not self._is_own(path)]
        return []

    def _is_own(self, path: Path) -> bool:
        return self._file is not None and str(path) == self._file.name

    def _is_beside(self, path: Path) -> bool:
        """Whether the process of a file lives, on one of the cores of this one. The file of a dead one is deleted."""
        with suppress(OSError), path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                cores = {int(core) for core in re.findall(rb"[0-9]+", file.read(100_000))}
                return not cores or bool(cores & _cores())
            path.unlink(missing_ok=True)  # of a living one that had no lock yet, which then makes it anew
        return False


def _own_folder() -> Path | None:
    """The user's own folder of locked files; ``None`` where it cannot be made, or is somebody else's."""
    if not hasattr(os, "getuid"):
        return None
    folder = Path(tempfile.gettempdir()) / f"augsal-cores-{os.getuid()}"
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        if not folder.is_symlink() and folder.lstat().st_uid == os.getuid():
            return folder
    return None


def _cores() -> set[int]:
    """The numbers of the cores that this process may run on."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def usable_cores() -> int:
    """Number of cores that this process may use: its affinity mask, and the limit of its container."""
    own = ""
    with suppress(OSError):
        own = Path("/proc/self/cgroup").read_text()
    return max(1, int(min(len(_cores()), cgroup_limit(CGROUPS, own))))


def cgroup_limit(root: Path, own: str) -> float:
    """Cores that a container may use at a time; infinite without a limit.

    Args:
        root: Folder on which control groups are mounted.
        own: Content of ``/proc/self/cgroup``.
    """
    found = re.search(r"^0::/(.*)$", own, re.MULTILINE)
    place, limits = root / (found[1].strip() if found else ""), [float("inf")]
    for folder in (place, *place.parents):  # the limits of all groups around a group hold
        if folder.is_relative_to(root):
            limits.append(_quota(folder / "cpu.max"))
    with suppress(OSError, ValueError):  # control groups of version 1
        quota, period = (int((root / "cpu" / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        limits.append(quota / period if quota > 0 and period > 0 else float("inf"))
    return min(limits)


def _quota(path: Path) -> float:
    with suppress(OSError, ValueError):
        quota, period = path.read_text().split()
        return int(quota) / int(period) if quota != "max" else float("inf")
    return float("inf")


def together_here(environment: Mapping[str, str]) -> int:
    """Number of processes that torchrun or Slurm has started on this machine, 1 where they do not say.

    Args:
        environment: ``os.environ``.
    """
    for name in ("LOCAL_WORLD_SIZE", "SLURM_NTASKS_PER_NODE"):
        if re.fullmatch(r"[1-9][0-9]*", text := environment.get(name, "")):
            return int(text)
    return 1
