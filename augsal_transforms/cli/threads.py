"""Commands that compute take their share of the cores."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def on_its_cores(command: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """The command, on as many CPU threads as ``CoreShare`` gives it."""

    @wraps(command)
    def run(*arguments: Arguments.args, **options: Arguments.kwargs) -> Result:
        from augsal_transforms.cores import CoreShare

        with CoreShare():
            return command(*arguments, **options)

    return run
