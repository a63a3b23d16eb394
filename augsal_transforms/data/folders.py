"""Images with saliency maps and captions on disk, joined by name."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from torch.utils.data import Dataset

from augsal_transforms.data.captions import Captions, read_captions
from augsal_transforms.data.images import read_image
from augsal_transforms.data.layouts import SALICON, Layout
from augsal_transforms.data.made_maps import add_made_maps
from augsal_transforms.data.names import printable

T = TypeVar("T")


class SaliencyFolder(Dataset[dict[str, Any]]):
    """Images, maps and captions of a data set on disk, joined by name.

    Each sample is a dict: ``image`` and ``saliency_map`` (PIL), ``prompt`` ("" where no caption is known)
    and ``image_id``, the name. Images without a map are left out, and so are images and maps of which two files share
    a name, because it is unclear which map is whose.

    Args:
        folder: The data set's folder.
        split: ``"train"`` or ``"val"``; a data set that is not divided is all ``"train"``.
        captions: Captions by name; ``None`` reads the folder's.
        layout: The layout of the folder; ``layouts.open_layout`` recognises it.
        sigma: Standard deviation in pixels of the Gaussian that makes maps from fixations, where there are no maps;
            ``None`` is one degree of visual angle.

    Attributes:
        names: Names of the samples, sorted.
        images: Each image's path by name, images without a map included.
        maps: Each map's path by name; a ``Picture`` where it is made from fixations. ``read_image`` reads both.
        ambiguous: Names that two images or two maps share, each with one of the two paths.
        files: The files that the layout found, fixation files among them.
        captions: Captions by name. Reading one of a wrong type raises ``ValueError``.

    Raises:
        FileNotFoundError: If no image has a map.
        ValueError: If maps are made from fixations and these cannot be read, or ``sigma`` is given for maps that are
            files.
    """

    def __init__(
        self,
        folder: str | Path,
        split: str = "train",
        *,
        captions: Mapping[str, str] | None = None,
        layout: Layout = SALICON,
        sigma: float | None = None,
    ) -> None:
        self.folder, self.split, self.layout = Path(folder), split, layout.name
        files = layout.files(self.folder, split)
        self.images, two_images = split_unique(files.images)
        self.files = add_made_maps(files, {**self.images, **two_images}, sigma)
        self.maps, two_maps = split_unique(self.files.maps)
        self.ambiguous = {**two_maps, **two_images}
        self.names = sorted((self.images.keys() & self.maps.keys()) - self.ambiguous.keys())
        if self.ambiguous:
            name, path = min(self.ambiguous.items())
            warnings.warn(
                f"{len(self.ambiguous)} names of {printable(self.folder)} are shared by two images or two maps and "
                f"left out, such as {name!r}: {printable(path)}. Keep one file of each name.",
                stacklevel=3,
            )
        if not self.names:
            raise FileNotFoundError(
                f"{printable(self.folder)} has no image with a map: {len(self.images)} images and {len(self.maps)} "
                f"maps were found, none of the same name. Expected {layout.expects.format(split=split)}. "
                "--predict-maps of `augsal generate` and `augsal gallery` predicts maps of images that have none."
            )
        self.captions: Mapping[str, str] = self._read_captions() if captions is None else captions

    def _read_captions(self) -> Captions:
        captions = read_captions(self.folder, self.split, self.images)
        if captions.unmatched and not captions:
            warnings.warn(
                f"{printable(captions.path or '')} has no caption of the {len(self.images)} images here; it names "
                f"{captions.unmatched[0]!r}, an image is named {self.names[0]!r}.",
                stacklevel=4,
            )
        return captions

    @property
    def captioned(self) -> int:
        """Number of samples that have a caption, those of a wrong type not counted."""
        return sum(self._has_caption(name) for name in self.names)

    def _has_caption(self, name: str) -> bool:
        try:
            return bool(self.captions.get(name))
        except ValueError:
            return False

    @property
    def left_out(self) -> list[str]:
        """Names of the images that are no samples, because they have no map or share their name."""
        return sorted((self.images.keys() | self.ambiguous.keys()) - set(self.names))

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> dict[str, Any]:
        name = self.names[index]
        return {
            "image": read_image(self.images[name]),
            "saliency_map": read_image(self.maps[name]),
            "prompt": self.captions.get(name, ""),
            "image_id": name,
        }


def split_unique(named: Sequence[tuple[str, T]]) -> tuple[dict[str, T], dict[str, T]]:
    """(name, path) pairs as a table of the names that one file has, and a table of those that several have."""
    table: dict[str, T] = {}
    shared: dict[str, T] = {}
    for name, path in named:
        if table.setdefault(name, path) != path:
            shared[name] = path
    return {name: path for name, path in table.items() if name not in shared}, shared
