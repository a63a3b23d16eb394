"""The images of a gallery with their edits, read from a store or made by an editor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from augsal_transforms.data.captions import to_caption
from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.data.images import read_image, to_rgb_image, to_saliency_map
from augsal_transforms.data.names import printable
from augsal_transforms.data.pictures import Source
from augsal_transforms.editor.constraint import property_bounds
from augsal_transforms.editor.editor import SaliencyEditor
from augsal_transforms.editor.edits import Edit
from augsal_transforms.editor.results import EditedImage
from augsal_transforms.faults import belongs_to_image
from augsal_transforms.gallery.bounds import Bounds, bounds_of
from augsal_transforms.gallery.choose import evenly, find_images, in_order, spread, thin
from augsal_transforms.gallery.explain import Explanation, explain
from augsal_transforms.randomness import keyed_generator
from augsal_transforms.store.entries import EditEntry
from augsal_transforms.store.keys import image_hash
from augsal_transforms.store.records import read_metadata
from augsal_transforms.store.store import EditStore


@dataclass(frozen=True)
class ShownEdit:
    """An edit with what a record keeps beside it.

    Attributes:
        result: The edit.
        prompt: The caption that it was made with, or "".
        bounds: The largest moves that were allowed, or ``None`` where that is unknown.
    """

    result: EditedImage
    prompt: str
    bounds: Bounds | None


@dataclass(frozen=True)
class ShownImage:
    """An image with its edits.

    Attributes:
        name: Its name in the data set.
        kind: The kind that it was chosen for.
        image: (3, H, W) uint8.
        saliency_map: S, (1, H, W), in [0, 1]; ``None`` where its file cannot be read.
        edits: Its edits, at least one, by kind, colour and α.
        further: Number of edits that the store has beyond these.
        explanation: The steps that found the region, where an editor was given; else ``None``.
    """

    name: str
    kind: str
    image: Tensor
    saliency_map: Tensor | None
    edits: list[ShownEdit]
    further: int = 0
    explanation: Explanation | None = None


@dataclass
class Problems:
    """Images and records that a gallery leaves out, by cause; ``elsewhere`` is no failure.

    Attributes:
        damaged: Records that are damaged.
        unreadable: Images that cannot be read or edited, with the reason.
        changed: Images whose pixels are not the ones that were edited.
        elsewhere: Number of images of the store that no name of the data set leads to.
        example: File stem of one of them.
    """

    damaged: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    elsewhere: int = 0
    example: str = ""


class StoredImages:
    """The images of a data set that have edits in a store, in the order in which a gallery shows them.

    Args:
        store: The store.
        dataset: The data set with the originals and their maps.
        problems: Takes what is left out.
    """

    def __init__(self, store: EditStore, dataset: SaliencyFolder, problems: Problems) -> None:
        self.store, self.dataset, self.problems = store, dataset, problems
        self.found, self.others = find_images(store, dataset)
        problems.elsewhere = len(self.others)
        if self.others and (metadata := read_metadata(next(iter(self.others.values())))):
            problems.example = metadata["source"]

    def __iter__(self) -> Iterator[ShownImage]:
        for name, kind in spread({name: {edit.kind for edit in edits} for name, edits in self.found.items()}):
            if (image := self._read(name)) is None:
                continue
            pixels = image_hash(image)
            own = [edit for edit in self.found[name] if edit.path.parent.name == pixels]
            if not own:
                self.problems.changed.append(name)
            elif shown := self._show(name, kind, image, pixels, own):
                yield shown
        # A store of one's own making may name no source files. Then only the pixels tell.
        unnamed = in_order(name for name in self.dataset.names if name not in self.found) if self.others else []
        for name in unnamed:
            image = self._read(name)
            if image is not None and (pixels := image_hash(image)) in self.others:
                del self.others[pixels]
                self.problems.elsewhere = len(self.others)
                own = self.store.list_edits(image)
                if own and (shown := self._show(name, own[0].kind, image, pixels, own)):
                    yield shown

    def _read(self, name: str) -> Tensor | None:
        return read_original(self.dataset.images[name], self.problems)

    def _show(
        self, name: str, kind: str, image: Tensor, pixels: str, entries: Sequence[EditEntry]
    ) -> ShownImage | None:
        chosen, edits = thin(entries), list[ShownEdit]()
        for entry in chosen:
            stored = self.store.read(entry.path)
            try:
                if stored is None:
                    raise ValueError
                edit = ShownEdit(
                    stored.onto(image, known_hash=pixels), stored.metadata["prompt"], bounds_of(stored.metadata)
                )
            except ValueError:
                self.problems.damaged.append(printable(entry.path))
            else:
                edits.append(edit)
        if not edits:
            return None
        return ShownImage(name, kind, image, read_map(self.dataset, name, image), edits, len(entries) - len(chosen))


class RenderedImages:
    """Images of a data set, each edited at several strengths.

    Args:
        editor: The editor.
        dataset: The data set.
        edits: The edits of each image. A range of α becomes ``strengths`` of it, and several colours one that is drawn.
        problems: Takes what is left out.
        store: The images that have edits in this store are taken, or those of the data set where it is ``None``.
        strengths: Number of α, evenly spaced from one end of a range to the other.
        seed: Seed of the noise and the draws.
    """

    def __init__(
        self,
        editor: SaliencyEditor,
        dataset: SaliencyFolder,
        edits: Sequence[Edit],
        problems: Problems,
        *,
        store: EditStore | None = None,
        strengths: int = 3,
        seed: int = 0,
    ) -> None:
        self.editor, self.dataset, self.edits, self.problems = editor, dataset, edits, problems
        self.strengths, self.seed = strengths, seed
        self.names = dataset.names if store is None else [*find_images(store, dataset)[0]]

    def __iter__(self) -> Iterator[ShownImage]:
        kinds = {edit.kind for edit in self.edits}
        for name, kind in spread(dict.fromkeys(self.names, kinds)):
            image = read_original(self.dataset.images[name], self.problems)
            saliency_map = None if image is None else read_map(self.dataset, name, image)
            if image is None:
                continue
            if saliency_map is None:
                self.problems.unreadable.append(f"{name}: its saliency map cannot be read")
                continue
            try:
                yield self._show(name, kind, image, saliency_map)
            except Exception as error:
                if not belongs_to_image(error):
                    raise
                self.problems.unreadable.append(f"{name}: {error}")

    def _show(self, name: str, kind: str, image: Tensor, saliency_map: Tensor) -> ShownImage:
        prompt = to_caption(self.dataset.captions.get(name, ""), f"caption of {name}")
        analysis = self.editor.analyse([image], [saliency_map], [prompt], seed=self.seed)[0]
        results = self.editor.apply([analysis], [[step for edit in self.edits for step in self._ladder(edit, name)]])
        bounds = property_bounds(self.editor.calibration.std, self.editor.config.max_std)
        allowed = tuple(bounds.tolist()) if bounds.isfinite().all() else None
        shown = [ShownEdit(result, prompt, allowed) for result in results]
        return ShownImage(name, kind, image, saliency_map, shown, explanation=explain(self.editor, analysis))

    def _ladder(self, edit: Edit, name: str) -> list[Edit]:
        """The edit at each of its strengths, its colour drawn."""
        drawn = edit.draw(keyed_generator("gallery", self.seed, name))
        if not isinstance(edit.alpha, tuple):
            return [drawn]
        low, high = edit.alpha
        thousandths = evenly(range(round(low * 1000), round(high * 1000) + 1), self.strengths)
        return [replace(drawn, alpha=min(max(number / 1000, low), high)) for number in thousandths]


def read_original(path: Source, problems: Problems) -> Tensor | None:
    """The pixels of an image file, (3, H, W) uint8; ``None`` where it cannot be read, which is noted."""
    try:
        image: Tensor = to_rgb_image(read_image(path)).as_subclass(Tensor)
    except ValueError as error:
        problems.unreadable.append(str(error))
        return None
    return image


def read_map(dataset: SaliencyFolder, name: str, image: Tensor) -> Tensor | None:
    """The saliency map of an image, (1, H, W); ``None`` where it cannot be read."""
    try:
        size = (image.shape[-2], image.shape[-1])
        saliency_map: Tensor = to_saliency_map(read_image(dataset.maps[name]), size).as_subclass(Tensor)
    except ValueError:
        return None
    return saliency_map
