"""The work of a run that is still to be done: images, edits, seconds and bytes, measured on a few images."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from augsal_transforms.faults import belongs_to_image
from augsal_transforms.generate.generation import Generation
from augsal_transforms.generate.jobs import Job, key_of
from augsal_transforms.store.records import encode


@dataclass(frozen=True)
class Estimate:
    """Work of a run: images and edits that the store lacks, seconds of one process for them, bytes of records.

    ``failed`` is the number of images that cannot be read.
    """

    images: int
    edits: int
    seconds: float
    bytes: int
    failed: int


def estimate(generation: Generation, names: Iterable[str], probe: int = 3) -> Estimate:
    """Estimate the work of ``run``; nothing is written.

    The store is compared with all images. Then ``probe`` of them are edited twice: the first time warms the
    networks up, the second one is measured.

    Raises:
        RuntimeError: If none of these images can be edited.
    """
    probed, images, edits, failed = list[Job](), 0, 0, 0
    for _, job in generation.jobs(names):
        failed += isinstance(job, Exception)
        if isinstance(job, Job) and (lacking := generation.lacking(job)):
            images, edits = images + 1, edits + len(lacking)
            probed += [replace(job, wanted=lacking)][: probe - len(probed)]
    if not probed:
        return Estimate(images=0, edits=0, seconds=0.0, bytes=0, failed=failed)
    if not (sizes := _record_sizes(generation, probed)):
        raise RuntimeError(
            f"None of the {len(probed)} images that were tried can be edited. `augsal generate` without --dry-run "
            "lists what is wrong with each image."
        )
    started = time.monotonic()
    generation.make([job for job in probed if job.name in sizes])
    seconds = time.monotonic() - started
    share = edits / sum(len(job.wanted) for job in probed if job.name in sizes)
    size = sum(sizes.values())
    return Estimate(images=images, edits=edits, seconds=share * seconds, bytes=round(share * size), failed=failed)


def _record_sizes(generation: Generation, jobs: list[Job]) -> dict[str, int]:
    """Bytes of the records of each image by its name; an image that cannot be edited is left out."""
    try:
        return {
            job.name: sum(
                len(encode(key_of(result, candidates), job.image, result, about=generation.about))
                for candidates, result in zip(job.wanted, made, strict=True)
            )
            for job, made in zip(jobs, generation.make(jobs), strict=True)
        }
    except Exception as error:
        if not belongs_to_image(error):
            raise
    return {} if len(jobs) == 1 else {name: n for job in jobs for name, n in _record_sizes(generation, [job]).items()}
