"""State that threads and worker processes share, and that a copy has for itself: an epoch, a lock, counts."""

from __future__ import annotations

import os
import threading
import warnings
import weakref
from collections import Counter
from typing import Any

import torch
from torch import Tensor

ATTEMPTS = 200  # samples drawn for an edit without one success, after which an augmentation is taken for inert


class SharedNumbers:
    """Integers in shared memory: worker processes see them change, however they were started.

    A copy, by ``copy.deepcopy``, pickle or ``torch.save``, has numbers of its own, in shared memory again.

    Args:
        count: Number of integers, all 0 at first.

    Attributes:
        values: The integers, (count,) int64.
    """

    def __init__(self, count: int = 1) -> None:
        self.values: Tensor = torch.zeros(count, dtype=torch.int64, device="cpu").share_memory_()

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Already shared where a worker process was sent them: sharing again changes nothing then.
        self.values = state["values"].share_memory_()


_LOCKS: list[weakref.ref[OwnLock]] = []  # all that exist
_FORKING = threading.Lock()
_HELD: list[Any] = []  # by the thread that forks


class OwnLock:
    """A reentrant lock for threads of one process; a copy or a pickled one is a new lock.

    A process forks only while no other thread holds one. In the child that thread would be gone: its lock would stay
    locked, and what it was changing would stay half changed.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _LOCKS.append(weakref.ref(self, _LOCKS.remove))

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def __reduce__(self) -> Any:
        return OwnLock, ()


def _hold_locks() -> None:
    """Take every lock. While this waits for one it holds no other, so threads may take them in any order."""
    _FORKING.acquire()
    locks = [lock._lock for reference in list(_LOCKS) if (lock := reference())]
    busy = next(iter(locks), None)
    while busy:
        _release_held()
        busy.acquire()
        _HELD.append(busy)
        busy = next((lock for lock in locks if not _take(lock)), None)


def _take(lock: Any) -> bool:
    is_free: bool = lock.acquire(blocking=False)
    if is_free:
        _HELD.append(lock)
    return is_free


def _release_held() -> None:
    while _HELD:
        _HELD.pop().release()


def _release_locks() -> None:
    _release_held()
    _FORKING.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold_locks, after_in_parent=_release_locks, after_in_child=_release_locks)


class Tally:
    """Counts of what became of samples, with a warning for the first of each cause of failure.

    Attributes:
        counts: Number of samples by outcome, in this process.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._lock = OwnLock()
        self._failures, self._successes = SharedNumbers(), SharedNumbers()

    def add(self, outcome: str, number: int = 1) -> int:
        """Count samples, from any thread; returns the new count."""
        with self._lock:
            if number:
                self.counts[outcome] += number
            return self.counts[outcome]

    def succeed(self, outcome: str) -> None:
        """Count a sample that was edited."""
        self.add(outcome)
        self._successes.values[0] = 1

    def fail(self, cause: str, error: Exception | None = None) -> None:
        """Count a sample that was to be edited and stays as it is.

        Args:
            cause: The cause, a sentence.
            error: The exception behind it, if any.

        Raises:
            RuntimeError: If the first ``ATTEMPTS`` samples, in all workers together, failed and none succeeded.
        """
        self._failures.values[0] += 1
        if self._failures.values[0] >= ATTEMPTS and not self._successes.values[0]:
            raise RuntimeError(
                f"None of the first {ATTEMPTS} samples drawn for an edit could be edited, so training would go on "
                f"without augmentation. The last cause: {cause}"
            ) from error
        if self.add(cause) == 1:
            warnings.warn(
                f"A sample is kept unedited: {cause} More of the kind are only counted, in `counts`.", stacklevel=2
            )
