"""A data set's edits into a store: any number of processes, at any time, on any machine that sees its folder.

Each process walks the whole list from its own offset and skips the edits that exist. Images that another process has
claimed are left for the end. So the processes that remain finish the set, and the same call continues a run that was
cut off.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.editor.editor import SaliencyEditor
from augsal_transforms.editor.edits import DEFAULT_EDITS, Edit
from augsal_transforms.editor.results import EditedImage
from augsal_transforms.faults import belongs_to_image
from augsal_transforms.generate.claims import Claims, Failures
from augsal_transforms.generate.jobs import THREADS, Job, JobReader
from augsal_transforms.store.identity import describe, editor_identity
from augsal_transforms.store.keys import EditKey
from augsal_transforms.store.records import encode
from augsal_transforms.store.store import EditStore

PATIENCE = 1.0  # seconds for which a claim is respected at least
BATCH = 128_000_000  # bytes of images and maps of a batch; its edits take several times that

Results = dict[EditKey, EditedImage]


@dataclass(frozen=True)
class Estimate:
    """Work of a run: images and edits that the store lacks, seconds of one process for them, bytes of records."""

    images: int
    edits: int
    seconds: float
    bytes: int


class Generation:
    """Fills a store with edits of a data set.

    Args:
        editor: Makes the edits.
        store: Takes them. Nothing is written before ``run``.
        files: The data set.
        edits: Kinds, each with its α or a range of it. One edit of each is made of every image; from a range
            it is drawn by the image's pixels and ``seed``.
        seed: Seed of the draws and of the noise. Another seed adds other edits to the same store.

    Attributes:
        counts: Number of edits ``made``, ``reused`` and ``refused`` (nothing to edit: the map is empty, or no word's
            attention meets it), and of images ``failed``.

    Raises:
        ValueError: For a read-only store, or no edits.
    """

    def __init__(
        self,
        editor: SaliencyEditor,
        store: EditStore,
        files: SaliencyFolder,
        edits: Sequence[Edit] = DEFAULT_EDITS,
        *,
        seed: int = 0,
    ) -> None:
        if store.readonly or not edits:
            raise ValueError("`store` must not be read-only." if store.readonly else "`edits` must not be empty.")
        self.editor, self.store, self.files, self.edits, self.seed = editor, store, files, tuple(edits), seed
        self.counts: Counter[str] = Counter()
        self.claims, self.failures = Claims(store.folder), Failures(store.folder)
        self._identity, self._about = editor_identity(editor), describe(editor)
        self._longest = 0.0  # seconds of the slowest batch

    def run(self, names: Iterable[str], finished: Callable[[], object] = lambda: None) -> None:
        """Make the edits of these images that the store lacks.

        An image that cannot be read, edited or stored is counted and listed in the store's ``failures.jsonl``.

        Args:
            names: Names of images, in this process's order.
            finished: Called once for each image that is done, by this process or another one.

        Raises:
            OSError: If the store's disk is full, or it cannot be written to.
        """
        left = list(names)
        while left:
            left = self._walk(left, finished)
            # Twice the time of a batch here: a process that takes longer is taken for dead.
            self.claims.outwait(left, max(PATIENCE, 2 * self._longest))
        self.failures.write_table()

    def estimate(self, names: Iterable[str], probe: int = 3) -> Estimate:
        """Estimate the work of ``run``; nothing is written.

        The store is compared with all images. Then ``probe`` of them are edited twice: the first time warms the
        networks up, the second one is measured.

        Raises:
            RuntimeError: If none of these images can be edited.
        """
        probed, images, edits = list[Job](), 0, 0
        for _, job in self._jobs(names):
            if isinstance(job, Job) and (lacking := self._lacking(job)):
                images, edits = images + 1, edits + len(lacking)
                probed += [replace(job, edits=lacking)][: probe - len(probed)]
        if not probed:
            return Estimate(images=0, edits=0, seconds=0.0, bytes=0)
        if not (sizes := self._record_sizes(probed)):
            raise RuntimeError(
                f"None of the {len(probed)} images that were tried can be edited. `augsal generate` without --dry-run "
                "lists what is wrong with each image."
            )
        started = time.monotonic()
        self._make([job for job in probed if job.name in sizes])
        seconds = time.monotonic() - started
        share = edits / sum(len(job.edits) for job in probed if job.name in sizes)
        size = sum(sizes.values())
        return Estimate(images=images, edits=edits, seconds=share * seconds, bytes=round(share * size))

    def _record_sizes(self, jobs: list[Job]) -> dict[str, int]:
        """Bytes of the records of each image by its name; an image that cannot be edited is left out."""
        try:
            return {
                job.name: sum(len(encode(key, job.image, result, about=self._about)) for key, result in made.items())
                for job, made in zip(jobs, self._make(jobs), strict=True)
            }
        except Exception as error:
            if not belongs_to_image(error):
                raise
        return {} if len(jobs) == 1 else {name: n for job in jobs for name, n in self._record_sizes([job]).items()}

    def _walk(self, names: list[str], finished: Callable[[], object]) -> list[str]:
        """Make the edits of all images that nobody else has claimed; returns the names of the others."""
        claimed, writing = list[str](), list[tuple[Job, Future[Counter[str]]]]()
        with ThreadPoolExecutor(THREADS) as writers:
            for batch in self._batches(names, claimed, finished):
                started = time.monotonic()
                edited = self._edit(batch)
                self._count(writing)  # the batch before, which was written while this one was edited
                writing = [(job, writers.submit(self._write, job, results)) for job, results in edited]
                del edited
                self._longest = max(self._longest, time.monotonic() - started)
            self._count(writing)
        return claimed

    def _batches(self, names: list[str], claimed: list[str], finished: Callable[[], object]) -> Iterator[list[Job]]:
        """The edits to make, in batches; names that others have claimed are added to ``claimed``."""
        batch = list[Job]()
        for name, job in self._jobs(names):
            if isinstance(job, Exception):
                self._fail(name, job)
            elif not self._lacking(job):
                self.counts["reused"] += len(job.edits)
                self.claims.discard(name)
                self.failures.discard(name)
            elif not self.claims.take(name):
                claimed.append(name)
                continue
            else:
                lacking = self._lacking(job)  # looked at again, now that nobody else makes them
                self.counts["reused"] += len(job.edits) - len(lacking)
                if lacking:
                    batch.append(replace(job, edits=lacking))
                else:
                    self.claims.release(name)
            finished()
            if len(batch) == self.editor.config.batch_size or sum(one.bytes for one in batch) >= BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    def _edit(self, batch: list[Job]) -> list[tuple[Job, Results]]:
        """A batch with its results; one that cannot be edited costs that image alone."""
        made = list[Results]()
        try:
            made = self._make(batch)
        except Exception as error:
            if not belongs_to_image(error):
                raise
            if len(batch) == 1:
                self._fail(batch[0].name, error)
                self.claims.release(batch[0].name)
                return []
        if not made:  # out here the error, whose traceback holds the batch's tensors, is gone
            return [pair for job in batch for pair in self._edit([job])]
        return list(zip(batch, made, strict=True))

    def _make(self, jobs: list[Job]) -> list[Results]:
        """Edit a batch; the edits of an image share its analysis."""
        analyses = self.editor.analyse(
            [job.image for job in jobs],
            [job.saliency_map for job in jobs],
            [job.prompt for job in jobs],
            seed=self.seed,
        )
        made = iter(self.editor.apply(analyses, [list(job.edits.values()) for job in jobs]))
        return [dict(zip(job.edits, made, strict=False)) for job in jobs]

    def _write(self, job: Job, results: Results) -> Counter[str]:
        """Store the edits of an image; returns how many were made and refused."""
        source, counts = self.files.images[job.name].stem, Counter[str]()
        for key, result in results.items():
            if result.is_edited:
                self.store.put(key, job.image, result, source=source, about=self._about)
            counts["made" if result.is_edited else "refused"] += 1
        self.failures.clear(job.name)
        self.claims.release(job.name)
        return counts

    def _count(self, writing: list[tuple[Job, Future[Counter[str]]]]) -> None:
        """Wait until images are stored and count their edits; an image that cannot be stored costs itself."""
        for job, written in writing:
            try:
                self.counts.update(written.result())
            except Exception as error:
                # A folder in a record's place is this image's trouble; other errors of the disk are everybody's.
                if not belongs_to_image(error) or (
                    isinstance(error, OSError) and not isinstance(error, IsADirectoryError)
                ):
                    raise
                self._fail(job.name, error)
                self.claims.release(job.name)
        writing.clear()

    def _fail(self, name: str, error: Exception) -> None:
        self.counts["failed"] += 1
        self.failures.note(name, self.files.images[name], error)

    def _jobs(self, names: Iterable[str]) -> Iterator[tuple[str, Job | Exception]]:
        depth = 2 * self.editor.config.batch_size
        return JobReader(self.files, self.edits, self.seed, self._identity, depth).read_all(names)

    def _lacking(self, job: Job) -> dict[EditKey, Edit]:
        """The edits that the store does not have. Whether its records are sound is for ``augsal verify`` to find."""
        names = set(self.store.file_names(next(iter(job.edits)).image))
        return {key: edit for key, edit in job.edits.items() if names.isdisjoint(key.file_names())}
