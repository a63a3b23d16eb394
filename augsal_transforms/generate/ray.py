"""`augsal generate --engine ray`: the same walk on actors of Ray Data, for clusters that Ray manages."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from augsal_transforms.generate.generation import Generation

IMAGES = 64  # of a block, which an actor is handed at a time


def generate_on_ray(
    make: Callable[[], Generation], names: Sequence[str], *, actors: int, gpus: float = 0.0
) -> Counter[str]:
    """Make the edits of these images on so many actors; returns what ``Generation.counts`` of all add up to.

    What is wrong with an image is caught by the actor, so it costs that image and not a block of Ray's.

    Args:
        make: Called once in each actor; must be picklable.
        names: Of images.
        actors: How many.
        gpus: Of each actor.

    Raises:
        ImportError: If Ray is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when Ray starts
    try:
        import ray
    except ImportError as error:
        raise ImportError('--engine ray needs Ray: pip install "ray[data]".') from error

    class Filler:
        def __init__(self) -> None:
            self.generation = make()

        def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
            self.generation.counts.clear()
            self.generation.run([str(name) for name in batch["name"]])
            return {"cause": list(self.generation.counts), "count": list(self.generation.counts.values())}

    blocks = max(actors, -(-len(names) // IMAGES))
    dataset = ray.data.from_items([{"name": name} for name in names], override_num_blocks=blocks)
    pool = ray.data.ActorPoolStrategy(size=actors)
    counts: Counter[str] = Counter()
    for row in dataset.map_batches(Filler, batch_size=None, compute=pool, num_gpus=gpus).take_all():
        counts[row["cause"]] += row["count"]
    return counts
