"""The images of a data set as jobs, read ahead on threads within a bound on memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from augsal_transforms.data.captions import to_caption
from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.data.images import read_image, read_size, to_rgb_image, to_saliency_map
from augsal_transforms.editor.edits import Edit
from augsal_transforms.editor.results import EditedImage
from augsal_transforms.editor.saliency_gate import SaliencyGate
from augsal_transforms.faults import belongs_to_image
from augsal_transforms.generate.known_files import KnownFiles, state_of
from augsal_transforms.randomness import keyed_generator
from augsal_transforms.store.keys import EditKey, image_hash

THREADS = 4  # that read images, and that write records, while the editor edits
AHEAD = 256_000_000  # bytes of images and maps that are read ahead
_PIXEL = 3 + 4  # bytes of a pixel: RGB in uint8, the map in float32


@dataclass(frozen=True)
class Job:
    """An image to edit.

    Attributes:
        name: Its name in the data set.
        image: (3, H, W) uint8.
        saliency_map: (1, H, W) in [0, 1].
        prompt: Its caption, or "".
        wanted: The candidates of each wanted edit by their keys; without a gate there is one.
    """

    name: str
    image: Tensor
    saliency_map: Tensor
    prompt: str
    wanted: tuple[dict[EditKey, Edit], ...]

    @property
    def bytes(self) -> int:
        """Memory of the image and its map."""
        return _PIXEL * self.image.shape[-2] * self.image.shape[-1]


class Finished(NamedTuple):
    """An image of which the store has all edits, as its files say that were read before.

    Attributes:
        name: Its name in the data set.
        wanted: As in ``Job``.
    """

    name: str
    wanted: tuple[dict[EditKey, Edit], ...]


@dataclass(frozen=True)
class JobReader:
    """Reads images of a data set as jobs.

    Attributes:
        files: The data set.
        edits: The edits of every image, with ranges to draw from.
        seed: Seed of the draws, and the editor's seed.
        identity: Identity of editor and gate in keys.
        depth: Largest number of images that are read ahead.
        known: Hashes of files that were read before; new ones are added.
        is_finished: Whether an image of known files is done; the others are read.
        saliency_gate: Draws the candidates of an edit; ``None`` draws one.
    """

    files: SaliencyFolder
    edits: Sequence[Edit]
    seed: int
    identity: dict[str, Any]
    depth: int
    known: KnownFiles
    is_finished: Callable[[Finished], bool]
    saliency_gate: SaliencyGate | None = None

    def read_all(self, names: Iterable[str]) -> Iterator[tuple[str, Job | Finished | Exception]]:
        """Every image as a job or finished, or the error for which it is left out.

        Raises:
            Exception: An error of the disk or the system; the next image would raise it too.
        """
        pool, rest, total = ThreadPoolExecutor(THREADS), iter(names), 0
        ahead = deque[tuple[str, int, Future[Job] | Finished]]()
        try:
            while True:
                while (
                    len(ahead) < self.depth and (total < AHEAD or not ahead) and (name := next(rest, None)) is not None
                ):
                    finished = self._find_finished(name)
                    size = 0 if finished else _bytes_of(self.files, name)
                    total += size
                    ahead.append((name, size, finished or pool.submit(self.read, name)))
                if not ahead:
                    return
                name, size, reading = ahead.popleft()
                try:
                    job: Job | Finished | Exception = reading if isinstance(reading, Finished) else reading.result()
                except Exception as error:
                    if not belongs_to_image(error):
                        raise
                    job = error.with_traceback(None)  # which holds the pixels
                del reading
                yield name, job
                total -= size
        finally:
            pool.shutdown(cancel_futures=True)

    def read(self, name: str) -> Job:
        """One image with its map, caption and drawn edits."""
        before = self._state(name)
        image = to_rgb_image(read_image(self.files.images[name])).as_subclass(Tensor)
        size = (image.shape[-2], image.shape[-1])
        saliency_map = to_saliency_map(read_image(self.files.maps[name]), size).as_subclass(Tensor)
        prompt, pixels, map_pixels = self._prompt(name), image_hash(image), image_hash(saliency_map)
        if before is not None and before == self._state(name):
            self.known.add(before, (pixels, map_pixels))
        return Job(name, image, saliency_map, prompt, self._want(pixels, map_pixels, prompt))

    def _find_finished(self, name: str) -> Finished | None:
        """The image as finished, where its files were read before and the store lacks nothing of these pixels."""
        try:
            if (hashes := self.known.find(self._state(name))) is None:
                return None
            found = Finished(name, self._want(*hashes, self._prompt(name)))
        except (TypeError, ValueError):  # of its caption: the reader meets it again
            return None
        return found if self.is_finished(found) else None

    def _state(self, name: str) -> bytes | None:
        return state_of(self.files.images[name], self.files.maps[name])

    def _prompt(self, name: str) -> str:
        return to_caption(self.files.captions.get(name, ""), f"caption of {name}")

    def _want(self, pixels: str, map_pixels: str, prompt: str) -> tuple[dict[EditKey, Edit], ...]:
        """The candidates of each wanted edit by their keys, from the hashes of the image and its map."""
        drawn = [
            self._draw(edit, keyed_generator("generate", self.seed, pixels, n)) for n, edit in enumerate(self.edits)
        ]
        edits = [edit for candidates in drawn for edit in candidates]
        keys = iter(EditKey.of_each(pixels, map_pixels, prompt, edits, seed=self.seed, editor=self.identity))
        wanted = [self._complete({next(keys): edit for edit in candidates}) for candidates in drawn]
        return tuple({tuple(one): one for one in wanted}.values())

    def _complete(self, candidates: dict[EditKey, Edit]) -> dict[EditKey, Edit]:
        """With a gate, which edit is chosen depends on all candidates, so each of their keys names them all."""
        if self.saliency_gate is None:
            return candidates
        named = [[key.kind, key.color, key.alpha] for key in candidates]
        editor = {**self.identity, "saliency_gate": {**self.identity["saliency_gate"], "candidates": named}}
        return {replace(key, editor=editor): edit for key, edit in candidates.items()}

    def _draw(self, edit: Edit, generator: torch.Generator) -> list[Edit]:
        gate = self.saliency_gate
        return [edit.draw(generator)] if gate is None else gate.draw_candidates([edit], generator)


def key_of(result: EditedImage, candidates: Iterable[EditKey]) -> EditKey:
    """The key of the candidate that a result is."""
    name = result.kind, result.color, round(result.alpha * 1000)
    return next(key for key in candidates if (key.kind, key.color, key.alpha) == name)


def _bytes_of(files: SaliencyFolder, name: str) -> int:
    """Memory that an image and its map will take, from the image's header; 0 where it cannot be read."""
    try:
        height, width = read_size(files.images[name])
    except ValueError:  # the reader finds it again, and notes it
        return 0
    return _PIXEL * height * width
