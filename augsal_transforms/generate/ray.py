"""`augsal generate --engine ray`: ``Generation`` on actors of Ray Data, for clusters that Ray manages."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from augsal_transforms.cores import CoreShare
from augsal_transforms.generate.generation import Generation

IMAGES = 64  # in a block, the unit of work of an actor


def generate_on_ray(
    make: Callable[[], Generation],
    names: Sequence[str],
    *,
    actors: int,
    gpus: float = 0.0,
    threads: int | None = None,
    finished: Callable[[int], object] = lambda images: None,
) -> Counter[str]:
    """Make the edits of these images on several actors; returns the sum of their ``Generation.counts``.

    An actor catches the error of an image, so that it costs that image. Left to Ray, it would cost the block.

    Args:
        make: Makes the ``Generation`` of an actor; must be picklable.
        names: Names of images.
        actors: Number of actors, 1 or more.
        gpus: Number of GPUs of each actor.
        threads: Number of CPU threads of each actor; ``None`` for its share of the cores (``CoreShare``).
        finished: Callback, called with the number of images of each block that is done.

    Raises:
        ImportError: If Ray is not installed.
        ValueError: If ``actors`` is less than 1.
    """
    if actors < 1:
        raise ValueError(f"`actors` must be 1 or more, got {actors!r}.")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when Ray starts
    try:
        import ray
    except ImportError as error:
        raise ImportError('--engine ray needs Ray: pip install "ray[data]".') from error

    class Filler:
        def __init__(self) -> None:
            self.cores = CoreShare(threads)
            self.cores.take()
            self.generation = make()

        def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
            self.generation.counts.clear()
            names = [bytes(name).decode("utf-8", "surrogatepass") for name in batch["name"]]
            self.generation.run(names, self.cores.follow)
            counts = {"images": len(batch["name"]), **self.generation.counts}
            return {"cause": list(counts), "count": list(counts.values())}

    blocks = max(actors, -(-len(names) // IMAGES))
    # Bytes: a file name need not be UTF-8, a string of Ray's must.
    rows = [{"name": name.encode("utf-8", "surrogatepass")} for name in names]
    ray.data.DataContext.get_current().enable_progress_bars = False  # ours counts images
    dataset = ray.data.from_items(rows, override_num_blocks=blocks)
    pool = ray.data.ActorPoolStrategy(size=actors)
    counts: Counter[str] = Counter()
    for row in dataset.map_batches(Filler, batch_size=None, compute=pool, num_gpus=gpus).iter_rows():
        if row["cause"] == "images":
            finished(row["count"])
        else:
            counts[row["cause"]] += row["count"]
    return counts
