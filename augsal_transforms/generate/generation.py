"""A data set's edits into a store: any number of processes, at any time, on any machine that sees its folder.

Each process walks the whole list from its own offset and skips what exists. What another one is at, it leaves
for the end. So whoever is left finishes the set, and the same call again goes on where it was cut off.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor

from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.data.images import read_image, to_rgb_image, to_saliency_map
from augsal_transforms.editor.editor import SaliencyEditor
from augsal_transforms.editor.edits import DEFAULT_EDITS, Edit
from augsal_transforms.editor.results import EditedImage
from augsal_transforms.generate.claims import Claims, Failures
from augsal_transforms.randomness import keyed_generator
from augsal_transforms.store.identity import describe, editor_identity
from augsal_transforms.store.records import EditKey, encode, image_hash
from augsal_transforms.store.store import EditStore

THREADS = 4  # that read images and write records while the editor edits
POLL = 0.1  # seconds between looks at what another process is at
PATIENCE = 1.0  # seconds that a claim is respected for at least


@dataclass(frozen=True)
class Job:
    """An image (3, H, W), its map (1, H, W) and caption, and the edits of it by their keys."""

    name: str
    image: Tensor
    saliency_map: Tensor
    prompt: str
    edits: dict[EditKey, Edit]


Results = dict[EditKey, EditedImage]


@dataclass(frozen=True)
class Estimate:
    """What a run has to do: images and edits that the store lacks, seconds of one process, bytes of records."""

    images: int
    edits: int
    seconds: float
    bytes: int


class Generation:
    """Fills a store with edits of a data set.

    Args:
        editor: Makes the edits.
        store: Takes them.
        files: The data set.
        edits: Kinds, each with its strength or range. One edit of each is made of every image; from a range
            it is drawn by the image's pixels and ``seed``.
        seed: Of draws and noise. Another seed adds other edits to the same store.

    Attributes:
        counts: Edits ``made``, ``reused`` and ``refused`` (nothing to edit: the map is empty, or no word's
            attention meets it), and images ``failed``.

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
        self._longest = 0.0  # seconds that a batch took

    def run(self, names: Iterable[str], finished: Callable[[], object] = lambda: None) -> None:
        """Make the edits of these images that the store lacks.

        An image that cannot be read or edited is counted and listed in the store's ``failures.jsonl``.

        Args:
            names: Of images, in this process's order.
            finished: Called as often as an image is done, by whomever.

        Raises:
            OSError: If the store's disk is full, or it cannot be written to.
        """
        left = list(names)
        while left:
            left = self._walk(left, finished)
            self._outwait(left)
        self.failures.write_table()

    def estimate(self, names: Iterable[str], probe: int = 3) -> Estimate:
        """What ``run`` has to do: the store is compared with all images, and ``probe`` of them are edited twice.

        The first time warms the networks up, the second one is measured. Nothing is written.
        """
        probed, images, edits = list[Job](), 0, 0
        for _, job in self._jobs(names):
            if isinstance(job, Job) and (lacking := self._lacking(job)):
                images, edits = images + 1, edits + len(lacking)
                probed += [replace(job, edits=lacking)][: probe - len(probed)]
        if not probed:
            return Estimate(images=0, edits=0, seconds=0.0, bytes=0)
        self._make(probed)
        started = time.monotonic()
        made = self._make(probed)
        seconds = time.monotonic() - started
        sizes = [
            len(encode(key, job.image, result, about=self._about))
            for job, of_job in zip(probed, made, strict=True)
            for key, result in of_job.items()
        ]
        share = edits / len(sizes)
        return Estimate(images=images, edits=edits, seconds=share * seconds, bytes=round(share * sum(sizes)))

    def _walk(self, names: list[str], finished: Callable[[], object]) -> list[str]:
        """Make what nobody else is at; returns what somebody is."""
        claimed, writing = list[str](), list[Future[None]]()
        with ThreadPoolExecutor(THREADS) as writers:
            for batch in self._batches(names, claimed, finished):
                started = time.monotonic()
                edited = self._edit(batch)
                _wait(writing)  # for the batch before, which was written while this one was edited
                writing = [writers.submit(self._write, job, results) for job, results in edited]
                self._longest = max(self._longest, time.monotonic() - started)
            _wait(writing)
        return claimed

    def _batches(self, names: list[str], claimed: list[str], finished: Callable[[], object]) -> Iterator[list[Job]]:
        """What is ours to make, in batches; names that others have claimed are added to ``claimed``."""
        batch = list[Job]()
        for name, job in self._jobs(names):
            if isinstance(job, ValueError):
                self._fail(name, job)
            elif self._lacking(job) and not self.claims.take(name):
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
            if len(batch) == self.editor.config.batch_size:
                yield batch
                batch = []
        if batch:
            yield batch

    def _outwait(self, names: list[str]) -> None:
        """Wait for what others are at, twice as long as a batch takes here; a claim that is still there is released."""
        stamps = {name: stamp for name in names if (stamp := self.claims.stamp(name)) is not None}
        deadline = time.monotonic() + max(PATIENCE, 2 * self._longest)
        while stamps and time.monotonic() < deadline:
            time.sleep(POLL)
            stamps = {name: stamp for name, stamp in stamps.items() if self.claims.stamp(name) == stamp}
        for name in stamps:
            self.claims.release(name)

    def _edit(self, batch: list[Job]) -> list[tuple[Job, Results]]:
        """A batch with its results; one that cannot be edited costs that image alone."""
        made = list[Results]()
        try:
            made = self._make(batch)
        except (ValueError, FloatingPointError, torch.OutOfMemoryError) as error:
            if len(batch) == 1:
                self._fail(batch[0].name, error)
                self.claims.release(batch[0].name)
                return []
        if not made:  # out here the error, whose traceback holds the batch's tensors, is gone
            return [pair for job in batch for pair in self._edit([job])]
        for result in (result for results in made for result in results.values()):
            self.counts["made" if result.is_edited else "refused"] += 1
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

    def _write(self, job: Job, results: Results) -> None:
        for key, result in results.items():
            if result.is_edited:
                self.store.put(key, job.image, result, source=self.files.images[job.name].stem, about=self._about)
        self.failures.clear(job.name)
        self.claims.release(job.name)

    def _fail(self, name: str, error: Exception) -> None:
        self.counts["failed"] += 1
        self.failures.note(name, self.files.images[name], error)

    def _jobs(self, names: Iterable[str]) -> Iterator[tuple[str, Job | ValueError]]:
        """Every image as a job, or what is wrong with it; read ahead on threads."""
        pool, rest, depth = ThreadPoolExecutor(THREADS), iter(names), 2 * self.editor.config.batch_size
        try:
            ahead = deque((name, pool.submit(self._read, name)) for name in islice(rest, depth))
            while ahead:
                name, reading = ahead.popleft()
                ahead.extend((later, pool.submit(self._read, later)) for later in islice(rest, 1))
                try:
                    yield name, reading.result()
                except ValueError as error:
                    yield name, error
        finally:
            pool.shutdown(cancel_futures=True)

    def _read(self, name: str) -> Job:
        image = to_rgb_image(read_image(self.files.images[name])).as_subclass(Tensor)
        size = (image.shape[-2], image.shape[-1])
        saliency_map = to_saliency_map(read_image(self.files.maps[name]), size).as_subclass(Tensor)
        prompt, pixels = self.files.captions.get(name, ""), image_hash(image)
        drawn = [edit.draw(keyed_generator("generate", self.seed, pixels, n)) for n, edit in enumerate(self.edits)]
        keys = [EditKey.of(image, saliency_map, prompt, edit, seed=self.seed, editor=self._identity) for edit in drawn]
        return Job(name, image, saliency_map, prompt, dict(zip(keys, drawn, strict=True)))

    def _lacking(self, job: Job) -> dict[EditKey, Edit]:
        """The edits that the store does not hold. Whether records are sound, ``augsal verify`` looks."""
        return {key: edit for key, edit in job.edits.items() if not self.store.path(key).exists()}


def _wait(writing: list[Future[None]]) -> None:
    for written in writing:
        written.result()
