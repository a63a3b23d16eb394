"""Which of several processes this one is, as torchrun or Slurm tell it, or as it is said."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch


def rank_and_world(environment: Mapping[str, str], shard: str = "") -> tuple[int, int]:
    """This process's number, from 0, and how many there are.

    Args:
        environment: ``os.environ``.
        shard: "i/n" in place of what a launcher says.

    Raises:
        ValueError: If ``shard`` is something else.
    """
    if shard:
        match = re.fullmatch(r"(\d+)/(\d+)", shard)
        if not match or not int(match[1]) < int(match[2]):
            raise ValueError(f"--shard must be i/n with i from 0 to n − 1, got {shard!r}.")
        return int(match[1]), int(match[2])
    if "WORLD_SIZE" in environment:  # torchrun
        return int(environment["RANK"]), int(environment["WORLD_SIZE"])
    task, tasks = (int(environment.get(f"SLURM_{name}", n)) for n, name in enumerate(("PROCID", "NTASKS")))
    job, jobs = (int(environment.get(f"SLURM_ARRAY_TASK_{name}", n)) for n, name in enumerate(("ID", "COUNT")))
    return (job % jobs) * tasks + task, jobs * tasks


def own_device(environment: Mapping[str, str], device: str = "auto") -> str:
    """The device of this process: with "auto" the GPU of its local number, or the CPU where there is none."""
    if device != "auto":
        return device
    if not torch.cuda.is_available():
        return "cpu"
    local = int(environment.get("LOCAL_RANK") or environment.get("SLURM_LOCALID") or 0)
    return f"cuda:{local % torch.cuda.device_count()}"


def from_offset(names: Sequence[str], rank: int, world: int) -> list[str]:
    """All names, beginning where this process's share begins."""
    start = rank * len(names) // world
    return [*names[start:], *names[:start]]
