"""The data set of an upstream, each image with a stored edit beside it.

An upstream's loop hands its image tensor to the model and nothing else, so the edit travels in that tensor:
[original 3 | edited 3 | edit mask 1] on the channel axis, zeros in the last four where nothing was edited.
It survives collation, workers, pinning, ``.to(device)`` and the scatter of DataParallel.
"""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import PIL.Image
import torch
import torch.nn.functional as F
from torch import Tensor

from augsal_transforms.data.images import is_rotated, read_image, to_rgb_image
from augsal_transforms.editor.results import EditedImage
from augsal_transforms.randomness import check_chance, check_integer, draw_share, keyed_generator, seeded
from augsal_transforms.sharing import SharedNumbers
from augsal_transforms.store.store import EditStore, draw_edit

CHANNELS = 7
_TRIED = 8  # images whose edits and pixels are looked at before training
_DEVIATION = 0.05  # between two readers of one file; JPEG decoders differ by 0.01


@dataclass(frozen=True)
class StoredEdits:
    """The edits of a store, drawn for images by their file.

    Attributes:
        store: The store of the edits.
        p: Chance of an edit, as in torchvision. The paper's p (Sec. 5.3) is 1 − p.
        seed: Seed of the draws, which are keyed on the seed, the image's name and the number of earlier visits.
    """

    store: EditStore
    p: float
    seed: int

    def __post_init__(self) -> None:
        check_chance(self.p)
        check_integer("seed", self.seed)

    def draw(self, path: Path, visit: int) -> EditedImage | None:
        """The edit of an image this time, at the image's own size; ``None`` where it stays as it is.

        Raises:
            ValueError: If the store's edits of this name were made from other pixels.
        """
        generator = keyed_generator(self.seed, visit, path.stem)
        if draw_share(generator) >= self.p:
            return None
        if not self.store.find(path.stem):
            return None
        held = self.store.edits_of(read_pixels(path))
        if not held:
            raise ValueError(
                f"The store's edits of {path.stem!r} were made from other pixels than those of {path}. "
                "Fill the store from the very files that are trained on: a re-encoded or resized copy is another image."
            )
        try:
            edited = draw_edit(held, generator).load()
        except ValueError:
            warnings.warn(f"A record of {path.stem!r} is damaged; the image stays unedited.", stacklevel=2)
            return None
        return edited if edited.edit_mask.any() else None


def read_pixels(path: Path) -> Tensor:
    """An image file as the store's edits are made from it, (3, H, W) uint8."""
    pixels: Tensor = to_rgb_image(read_image(path)).as_subclass(Tensor)
    return pixels


class DatasetProxy:
    """Stands in for a training set: the same in all but its items, which carry their edits.

    Args:
        dataset: The upstream's training set.
        edits: The edits.
        path: ``path(dataset, index)`` → the image's file.
        carry: ``carry(dataset, item, edit)`` → the item with the edit, or with an empty one for ``None``.
        pictures: ``pictures(item)`` → original and edited image of such an item; ``None`` is ``unpack_pictures``.

    Note:
        How often an item was seen is counted in shared memory: epochs differ, in any number of workers, and
        a seed gives the same edits whatever that number is.
    """

    def __init__(
        self,
        dataset: Any,
        edits: StoredEdits,
        path: Callable[[Any, int], Path],
        carry: Callable[[Any, Any, EditedImage | None], Any],
        pictures: Callable[[Any], tuple[Tensor, Tensor]] | None = None,
    ) -> None:
        self.dataset, self.edits, self.path, self.carry = dataset, edits, path, carry
        self.pictures = pictures or unpack_pictures
        self.visits = SharedNumbers(len(dataset))
        self.released = False

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """The data set's own class, so that ``isinstance`` and ``__class__.__name__`` give what they gave before."""
        return type(self.dataset)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "dataset":
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        item = self.dataset[index]
        if self.released:
            return item
        visit = int(self.visits.values[index])
        self.visits.values[index] += 1
        return self.carry(self.dataset, item, self.edits.draw(self.path(self.dataset, index), visit))

    def __reduce__(self) -> Any:
        kind = type(self.dataset)
        own = (self.edits, self.path, self.carry, self.pictures, self.visits, self.released)
        return _rebuild, (kind.__module__, kind.__qualname__, vars(self.dataset), own)

    def release(self) -> None:
        """Give the data set's own items from now on, without edits."""
        self.released = True

    def announce(self) -> None:
        """Print how many images the store has edits for.

        Raises:
            RuntimeError: If it has none, or none that can be read: training would silently go on without augmentation.
            ValueError: If they were made from other pixels, or the data set reads a file's pixels differently.
        """
        store = self.edits.store
        places = {self.path(self.dataset, index).stem: index for index in range(len(self))}
        held = [stem for stem in places if store.find(stem)]
        if not held:
            raise RuntimeError(
                f"The store {store.folder} holds no edit of any of the {len(places)} training images "
                f"({', '.join(list(places)[:2])}, …). Edits are found by the image's file name without its ending: "
                "was the store filled from this data?"
            )
        always = replace(self.edits, p=1.0)
        edits = [always.draw(self.path(self.dataset, places[stem]), 0) for stem in held[:_TRIED]]
        if all(edit is None for edit in edits):
            raise RuntimeError(
                f"The store {store.folder} has edits of {len(held)} of {len(places)} training images, but those "
                f"of the first {len(edits)} cannot be read. Were they written by another version?"
            )
        example = next(edit for edit in edits if edit is not None)
        turned = [stem for stem in held[_TRIED:] if is_unusual(self.path(self.dataset, places[stem]))]
        for stem in [*held[:_TRIED], *turned[:_TRIED]]:
            self._compare_pixels(places[stem], example)
        print(f"augsal: edits found for {len(held)} of {len(places)} training images", flush=True)

    def _compare_pixels(self, index: int, example: EditedImage) -> None:
        """Check that an edit that changes nothing reaches the model as the data set's own image does."""
        path = self.path(self.dataset, index)
        original = read_pixels(path)
        null = replace(example, image=original, edit_mask=torch.ones(1, *original.shape[-2:]))
        with seeded(0):  # whatever is drawn now, training draws as it would have
            carried = self.carry(self.dataset, self.dataset[index], null)
        theirs, ours = self.pictures(carried)
        deviation = (theirs.double() - ours.double()).abs().mean().item() / max(theirs.double().std().item(), 1e-6)
        if deviation > _DEVIATION:
            raise ValueError(
                f"The data set and the store read {path} differently: an edit that changes nothing differs from the "
                f"original by {deviation:.2f} standard deviations (at most {_DEVIATION} is allowed). The upstream may "
                "turn images by their EXIF data, drop alpha, or scale 16 bits in another way. Write such images anew, "
                "upright and as 8-bit RGB, and fill the store from them."
            )


def is_unusual(path: Path) -> bool:
    """Whether readers may disagree on a file's pixels: it is turned by EXIF, or no plain grey or RGB image."""
    try:
        with PIL.Image.open(path, formats=("JPEG", "PNG", "WEBP", "BMP")) as image:
            return is_rotated(image) or image.mode not in ("L", "RGB")
    except Exception:  # damaged files fail anywhere in a decoder; whoever reads the pixels names the file
        return True


def unpack_pictures(item: Any) -> tuple[Tensor, Tensor]:
    """Original and edited image, (3, h, w) each, of an item that ``pack`` made."""
    packed = next(part for part in item if isinstance(part, Tensor) and part.shape[-3:-2] == (CHANNELS,))
    return packed[..., :3, :, :], packed[..., 3:6, :, :]


def pack(image: Tensor, edited: Tensor | None = None, edit_mask: Tensor | None = None) -> Tensor:
    """[original 3 | edited 3 | edit mask 1] on the channel axis.

    Args:
        image: (3, h, w) as the model takes it.
        edited: The edited image, (3, h, w) as the model takes it; ``None`` where nothing was edited.
        edit_mask: (1, H, W) in [0, 1], of any size.
    """
    if edited is None or edit_mask is None:
        return torch.cat([image, image.new_zeros(CHANNELS - 3, *image.shape[-2:])])
    return torch.cat([image, edited, resize(edit_mask, image.shape[-2:]).to(image.dtype)])


def resize(edit_mask: Tensor, size: Any) -> Tensor:
    """An edit mask (…, 1, H, W) at another size, in [0, 1]."""
    if edit_mask.shape[-2:] == torch.Size(size):
        return edit_mask
    flat = edit_mask.reshape(-1, 1, *edit_mask.shape[-2:])
    flat = flat.to(torch.promote_types(flat.dtype, torch.float32))
    resized = F.interpolate(flat, tuple(size), mode="bilinear", align_corners=False, antialias=True)
    return resized.reshape(*edit_mask.shape[:-2], *size)


def _rebuild(module: str, qualname: str, state: dict[str, Any], own: tuple[Any, ...]) -> DatasetProxy:
    """Rebuild a pickled proxy in another process, where the data set's class may not be patched as it is here."""
    found: Any = reduce(getattr, qualname.split("."), importlib.import_module(module))
    kind = inspect.unwrap(found)
    dataset = object.__new__(kind)
    vars(dataset).update(state)
    proxy = object.__new__(DatasetProxy)
    proxy.dataset = dataset
    proxy.edits, proxy.path, proxy.carry, proxy.pictures, proxy.visits, proxy.released = own
    return proxy
