"""The end of every command: its exit code, and one line or a traceback on stderr.

0 done · 1 an exception of the user's own model, or a fault of this package: a traceback · 2 usage · 3 finished, with
failures that were named · 4 the system: a full or failing disk, memory · 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import errno
import functools
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import ParamSpec, TypeVar

import typer

from augsal_transforms.faults import belongs_to_image

CRASHED, USAGE, FAILURES, SYSTEM, STOPPED = 1, 2, 3, 4, 130
_KEPT = "Stopped. Finished work is kept: run the same command again to go on."
_LOST = "Stopped before the end: run the same command again to start over."

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class UserCodeError(Exception):
    """An exception of the user's own code, which is the cause of this one."""


@contextmanager
def user_code() -> Iterator[None]:
    """Mark exceptions raised inside as the user's own, so that their traceback is printed whole."""
    try:
        yield
    except Exception as error:
        raise UserCodeError from error


def with_exit_codes(command: Callable[Arguments, Result], *, resumes: bool = False) -> Callable[Arguments, Result]:
    """Give a command the exit codes of this module.

    Args:
        command: The function behind ``augsal COMMAND``.
        resumes: Whether the same command goes on where it was stopped.
    """

    @functools.wraps(command)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            typer.echo(_KEPT if resumes else _LOST, err=True)
            raise typer.Exit(STOPPED) from None
        except UserCodeError as error:
            _print_traceback(error.__cause__ or error)
            raise typer.Exit(CRASHED) from error
        except Exception as error:
            code = exit_code(error)
            if code is None:
                raise
            typer.echo(f"augsal: {describe(error)}", err=True)
            raise typer.Exit(code) from error

    return run


def exit_code(error: Exception) -> int | None:
    """The exit code of a command that raised this error; ``None`` where the traceback says more than the message."""
    if isinstance(error, typer.Exit) or (isinstance(error, OSError) and error.errno == errno.EPIPE):
        return None  # typer's own: an exit, and a reader such as `head` that has seen enough
    if _is_out_of_memory(error) or not belongs_to_image(error):
        return SYSTEM
    if isinstance(error, (ValueError, OSError, ImportError)):
        return USAGE
    # Raised here, these two are about an argument; raised inside another library they are a fault of this package.
    return USAGE if isinstance(error, (TypeError, RuntimeError)) and _is_our_own(error) else None


def describe(error: Exception) -> str:
    """The error's message, with what to do where the system failed."""
    if _is_out_of_memory(error):
        return f"out of memory: {error or type(error).__name__}. Free some memory, or lower --batch-size."
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{error}. Free some space, or name a folder on another disk, and run the command again."
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}."
    return str(error) or type(error).__name__


def _print_traceback(error: BaseException) -> None:
    """Print an exception of the user's code from the first frame that is not this package's."""
    start = error.__traceback__
    while start and start.tb_next and _is_ours(start.tb_frame):
        start = start.tb_next
    traceback.print_exception(error.with_traceback(start), file=sys.stderr)


def _is_out_of_memory(error: Exception) -> bool:
    # By name: `augsal --help` must not import torch.
    return (
        isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "can't allocate" in str(error)
    )


def _is_our_own(error: Exception) -> bool:
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(frames) and _is_ours(frames[-1])


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith("augsal_transforms")
