"""Rank and device of this process among those that a launcher started: torchrun, Slurm, or the option --shard."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch


def rank_and_world(environment: Mapping[str, str], shard: str = "") -> tuple[int, int]:
    """Number of this process, from 0, and the number of processes.

    Args:
        environment: ``os.environ``.
        shard: "i/n", which is used in place of the launcher's variables; "" for none.

    Raises:
        ValueError: If ``shard`` or a launcher's variable is something else.
    """
    if shard:
        match = re.fullmatch(r"([0-9]+)/([0-9]+)", shard)
        if not match or not int(match[1]) < int(match[2]):
            raise ValueError(f"--shard must be i/n with i from 0 to n − 1, got {shard!r}.")
        return int(match[1]), int(match[2])
    if "WORLD_SIZE" in environment:  # torchrun
        return _number(environment, "RANK", 0), _number(environment, "WORLD_SIZE", 1)
    task, tasks = _number(environment, "SLURM_PROCID", 0), _number(environment, "SLURM_NTASKS", 1)
    job, jobs = _number(environment, "SLURM_ARRAY_TASK_ID", 0), _number(environment, "SLURM_ARRAY_TASK_COUNT", 1)
    return (job % jobs) * tasks + task, jobs * tasks


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not re.fullmatch(r"[0-9]+", text) or (default == 1 and not int(text)):
        raise ValueError(
            f"The environment variable {name} must be a whole number of {default} or more, got {text!r}. Give --shard "
            "i/n in its place."
        )
    return int(text)


def own_device(environment: Mapping[str, str], device: str = "auto") -> str:
    """Device of this process; "auto" is the GPU with its local number, or the CPU where there is no GPU."""
    if device != "auto":
        return device
    if not torch.cuda.is_available():
        return "cpu"
    local = int(environment.get("LOCAL_RANK") or environment.get("SLURM_LOCALID") or 0)
    return f"cuda:{local % torch.cuda.device_count()}"


def from_offset(names: Sequence[str], rank: int, world: int) -> list[str]:
    """All names, beginning with this process's share and going round.

    Args:
        names: Names of images.
        rank: Number of this process, from 0.
        world: Number of processes.
    """
    start = rank * len(names) // world
    return [*names[start:], *names[:start]]
