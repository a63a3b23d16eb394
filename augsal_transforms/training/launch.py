"""What a training command does once among the processes of ``torchrun``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist

from augsal_transforms.scenes.writer import write_scenes

SERIES, START = 1, 100_000  # the bundled editor's own series, far behind the scenes that it learned from


@contextmanager
def one_of_several(device: str) -> Iterator[tuple[str, int, Callable[[], None]]]:
    """Join ``torchrun``'s processes, where it started this one.

    Yields:
        This process's device, its rank, and a function that waits for the others.
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


def render_once(folder: Path, count: int) -> Path:
    """Scenes for training in ``folder``, rendered where it does not exist; a part of them never counts."""
    partial = folder.with_suffix(".partial")
    if not folder.exists():
        if partial.exists():
            raise FileExistsError(f"{partial} is left from a run that was cut off; remove it and run again.")
        write_scenes(partial, count, seed=SERIES, start=START)
        partial.rename(folder)
    return folder
