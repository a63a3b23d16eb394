"""A data set's edits into a store: any number of processes, at any time, on any machine that sees its folder.

Each process walks the whole list from its own offset and skips the edits that exist. Images that another process has
claimed are left for the end. So the processes that remain finish the set, and the same call continues a run that was
cut off.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice

from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.editor.editor import SaliencyEditor
from augsal_transforms.editor.edits import DEFAULT_EDITS, Edit
from augsal_transforms.editor.results import EditedImage
from augsal_transforms.editor.saliency_gate import SaliencyGate
from augsal_transforms.faults import belongs_to_image
from augsal_transforms.generate.claims import Claims, Failures
from augsal_transforms.generate.jobs import THREADS, Finished, Job, JobReader, key_of
from augsal_transforms.generate.known_files import KnownFiles
from augsal_transforms.store.identity import describe, editor_identity, saliency_gate_identity
from augsal_transforms.store.keys import EditKey
from augsal_transforms.store.not_raised import NotRaised
from augsal_transforms.store.store import EditStore

PATIENCE = 1.0  # seconds for which a claim is respected at least
BATCH = 128_000_000  # bytes of images and maps of a batch; its edits take several times that

Results = list[EditedImage]  # one for each wanted edit of a job


class Generation:
    """Fills a store with edits of a data set.

    Args:
        editor: Makes the edits.
        store: Takes them. Nothing is written before ``run``.
        files: The data set.
        edits: Kinds, each with its α or a range of it. One edit of each is made of every image; from a range
            it is drawn by the image's pixels and ``seed``.
        seed: Seed of the draws and of the noise. Another seed adds other edits to the same store.
        saliency_gate: Draws several candidates of each edit, and stores one that raises the predicted saliency.
        check_pixels: Read the pixels of every image, also of those whose files are as they were when they were read
            before.

    Attributes:
        counts: Number of edits ``made``, ``reused``, ``not_raised`` (by none of their candidates) and ``refused``
            (nothing to edit: the map is empty, or no word's attention meets it), and of images ``failed``.

    Raises:
        TypeError: If the gate's predictor cannot be known again; see ``predictor_fingerprint``.
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
        saliency_gate: SaliencyGate | None = None,
        check_pixels: bool = False,
    ) -> None:
        if store.readonly or not edits:
            raise ValueError("`store` must not be read-only." if store.readonly else "`edits` must not be empty.")
        self.editor, self.store, self.files, self.edits, self.seed = editor, store, files, tuple(edits), seed
        self.counts: Counter[str] = Counter()
        self.claims, self.failures = Claims(store.folder), Failures(store.folder)
        self.not_raised, self.known, self.check_pixels = (
            NotRaised(store.folder),
            KnownFiles(store.folder),
            check_pixels,
        )
        self._identity, self.about, self.saliency_gate = editor_identity(editor), describe(editor), saliency_gate
        if saliency_gate is not None:
            self._identity["saliency_gate"] = saliency_gate_identity(saliency_gate)
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
        try:
            while left:
                left = self._walk(left, finished)
                # Twice the time of a batch here: a process that takes longer is taken for dead.
                self.claims.outwait(left, max(PATIENCE, 2 * self._longest))
        finally:
            self.known.write()
        self.failures.write_table()

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
        for name, job in self.jobs(names):
            self.known.write(now=False)
            if isinstance(job, Exception):
                self._fail(name, job)
            elif isinstance(job, Finished) or not self.lacking(job):
                self._count_reused(job.wanted)
                self.claims.discard(name)
                self.failures.discard(name)
            elif not self.claims.take(name):
                claimed.append(name)
                continue
            else:
                lacking = self.lacking(job)  # looked at again, now that nobody else makes them
                self._count_reused([one for one in job.wanted if one not in lacking])
                if lacking:
                    batch.append(replace(job, wanted=lacking))
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
            made = self.make(batch)
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

    def make(self, jobs: list[Job]) -> list[Results]:
        """Edit a batch; the edits of an image share its analysis."""
        analyses = self.editor.analyse(
            [job.image for job in jobs],
            [job.saliency_map for job in jobs],
            [job.prompt for job in jobs],
            seed=self.seed,
        )
        each = [analysis for analysis, job in zip(analyses, jobs, strict=True) for _ in job.wanted]
        edits = [list(candidates.values()) for job in jobs for candidates in job.wanted]
        made = iter(self.editor.apply(each, edits, saliency_gate=self.saliency_gate))
        return [list(islice(made, len(job.wanted))) for job in jobs]

    def _write(self, job: Job, results: Results) -> Counter[str]:
        """Store the edits of an image; returns how many were made and refused."""
        source, counts = self.files.images[job.name].stem, Counter[str]()
        for candidates, result in zip(job.wanted, results, strict=True):
            if result.is_edited:
                self.store.put(key_of(result, candidates), job.image, result, source=source, about=self.about)
            elif result.tried:
                self.not_raised.note(list(candidates), result, source=source)
            counts["made" if result.is_edited else "not_raised" if result.tried else "refused"] += 1
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

    def jobs(self, names: Iterable[str]) -> Iterator[tuple[str, Job | Finished | Exception]]:
        """Every image as a job or as finished, or the error for which it is left out."""
        depth = 2 * self.editor.config.batch_size
        reader = JobReader(
            self.files, self.edits, self.seed, self._identity, depth, self.known, self._is_finished, self.saliency_gate
        )
        return reader.read_all(names)

    def _is_finished(self, image: Finished) -> bool:
        return not (self.check_pixels or self.lacking(image))

    def lacking(self, job: Job | Finished) -> tuple[dict[EditKey, Edit], ...]:
        """The edits that the store does not have. Whether its records are sound is for ``augsal verify`` to find."""
        held = set(self.store.file_names(next(iter(job.wanted[0])).image))
        missing = [one for one in job.wanted if held.isdisjoint(name for key in one for name in key.file_names())]
        return tuple(one for one in missing if not self._was_tried(one))

    def _was_tried(self, candidates: dict[EditKey, Edit]) -> bool:
        """Whether a gate let none of these candidates pass before."""
        return self.saliency_gate is not None and self.not_raised.has(candidates)

    def _count_reused(self, wanted: Collection[dict[EditKey, Edit]]) -> None:
        if tried := sum(map(self._was_tried, wanted)):
            self.counts["not_raised"] += tried
        self.counts["reused"] += len(wanted) - tried
