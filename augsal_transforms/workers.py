"""Calls of one function on worker processes, with the results in the order of the tasks."""

from __future__ import annotations

import errno
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

Task = TypeVar("Task")
Result = TypeVar("Result")


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread: the last digits of a sum depend on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def map_in_order(function: Callable[[Task], Result], tasks: Iterable[Task], workers: int) -> Iterator[Result]:
    """The results of a function, in the order of the tasks, the same for any number of workers.

    Each call runs on one thread. With several workers, a call that fails is repeated in this process, so its error is
    raised here, after the results of all earlier tasks. So is an error of ``tasks``.

    Args:
        function: The function. Where processes are spawned, it must be picklable.
        tasks: The tasks, made in this process, at most two for each worker ahead. Send arrays, not tensors: tensors
            pass through shared memory, of which a container may have little.
        workers: Number of processes; 1 calls the function in this process.

    Raises:
        OSError: If a worker process was ended from outside, as by a system without memory.
    """
    if workers == 1:
        for task in tasks:
            with one_thread():
                result = function(task)
            yield result
        return
    pending = _Pending(tasks)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This DataLoader will create")  # more workers than cores
        loader = DataLoader(
            _Calls(function),
            batch_size=None,
            sampler=pending,
            num_workers=workers,
            collate_fn=_same,
            generator=torch.Generator(),  # or it draws from the global one
        )
        received = _received(iter(loader))
    try:
        for is_done, result in received:
            task = pending.sent.popleft()
            if not is_done:
                with one_thread():
                    result = function(task)
            yield result
    finally:
        received.close()  # ends the processes, also where a traceback keeps this frame
    if pending.error is not None:
        raise pending.error


def _received(results: Iterator[Any]) -> Generator[Any, None, None]:
    try:
        yield from results
    except RuntimeError as error:  # errors of calls and of tasks do not come this way
        if "exited unexpectedly" not in str(error):
            raise
        raise OSError(
            errno.ENOMEM, "A worker process was ended from outside, perhaps for lack of memory. Give fewer --workers."
        ) from error


class _Pending(Generic[Task]):
    """The tasks, remembered until their results are there; an error in making them is kept for later."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self.tasks, self.sent = tasks, deque[Task]()
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[Task]:
        try:
            for task in self.tasks:
                self.sent.append(task)
                yield task
        except Exception as error:
            self.error = error


class _Calls(Dataset[Any]):
    """The function as a data set, whose indices are the tasks."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def __getitem__(self, task: Any) -> tuple[bool, Any]:
        try:
            return True, self.function(task)
        except Exception:  # the call is repeated where the error can be raised as it is
            return False, None


def _same(result: Any) -> Any:
    return result
