"""Join the processes of ``torchrun``, and render scenes in one of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from augsal_transforms.scenes.writer import write_scenes

SERIES, START = 1, 100_000  # the bundled editor's own series, from a scene on that it was not trained on


@contextmanager
def one_of_several(device: str) -> Iterator[tuple[str, int, Callable[[], None]]]:
    """Join the process group if ``torchrun`` started this process.

    Args:
        device: Device of the networks; under ``torchrun``, "cuda" becomes this process's own GPU.

    Yields:
        This process's device, its rank, and a function that waits for the other processes.
    """
    if "WORLD_SIZE" not in os.environ:
        yield device, 0, lambda: None
        return
    if device.startswith("cuda"):
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield device, dist.get_rank(), _wait
    finally:
        dist.destroy_process_group()


def _wait() -> None:
    dist.barrier()


def render_once(folder: Path, count: int, progress: Callable[[Sequence[int]], Any] = iter) -> Path:
    """Render ``count`` scenes for training into ``folder``, unless it exists already.

    They are rendered beside it and renamed at the end, so that an interrupted run leaves no folder that looks complete.
    ``progress`` wraps the scenes' numbers, as ``tqdm`` does.

    Raises:
        FileExistsError: If an interrupted run has left its unfinished folder.
    """
    partial = folder.with_suffix(".partial")
    if not folder.exists():
        if partial.exists():
            raise FileExistsError(f"{partial} is left from an interrupted run. Remove it and run again.")
        write_scenes(partial, count, seed=SERIES, start=START, progress=progress)
        partial.rename(folder)
    return folder
