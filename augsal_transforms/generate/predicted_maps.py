"""Images without saliency maps as a data set: a predictor makes the map of each when it is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from threading import Lock

import PIL.Image
import torch
from torch import Tensor

from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.data.images import read_image, read_size, to_rgb_image
from augsal_transforms.data.layouts import Layout, find_layout
from augsal_transforms.data.listing import Files, Named, list_images
from augsal_transforms.data.names import IMAGE_ENDINGS, printable
from augsal_transforms.data.pictures import Picture, Source
from augsal_transforms.readouts.contract import PredictsSaliency, predict_maps
from augsal_transforms.store.identity import predictor_fingerprint


@dataclass(frozen=True)
class PredictedMap(Picture):
    """A saliency map of 8 bits that a predictor makes each time it is read.

    Attributes:
        name: Name of the image.
        source: File of the image.
        image: The image.
        load: Returns the predictor.
    """

    name: str
    source: Path
    image: Source
    load: Callable[[], PredictsSaliency]

    def read(self) -> PIL.Image.Image:
        """The map, with a maximum of 255; all 0 where the predictor sees nothing salient.

        Raises:
            ValueError: If the image cannot be read, or the predictor's map is no map.
        """
        (values,) = predict_maps(self.load(), [to_rgb_image(read_image(self.image)).as_subclass(Tensor)])
        return PIL.Image.fromarray((values[0] * 255).round().to(torch.uint8).cpu().numpy())

    def settings(self) -> str:
        """The fingerprint of the predictor; ``TypeError`` where it has none."""
        return _fingerprint(self.load)

    def read_size(self) -> tuple[int, int]:
        """(H, W) of the image."""
        return read_size(self.image)


@lru_cache(maxsize=2)
def _fingerprint(load: Callable[[], PredictsSaliency]) -> str:
    return predictor_fingerprint(load())


def open_unmapped(folder: str | Path, split: str, layout: str, load: Callable[[], PredictsSaliency]) -> SaliencyFolder:
    """Open images whose maps are predicted, also where the folder has maps.

    Args:
        folder: A data set, or any folder of images.
        split: ``"train"`` or ``"val"``, where the data set is divided.
        layout: A name in ``LAYOUTS``, or ``"auto"`` to recognise it; a folder of no known layout is searched for
            images, with its subfolders.
        load: Returns the predictor; called once, when the first map is read.

    Returns:
        The data set. Names are those of the layout, or else stems; where stems repeat, paths below the folder.

    Raises:
        FileNotFoundError: If the folder is not there, or has no image.
        ValueError: If there is no such layout.
    """
    images, once = list(_find_images(Path(folder), split, layout)), _once(load)
    if not images:
        raise FileNotFoundError(f"{printable(folder)} has no image file ({', '.join(IMAGE_ENDINGS)}).")
    paths = [image if isinstance(image, Path) else image.source for _, image in images]
    maps = [(name, PredictedMap(name, path, image, once)) for (name, image), path in zip(images, paths, strict=True)]
    files = Files(images, maps)
    return SaliencyFolder(folder, split, layout=Layout("images with predicted maps", "image files", lambda *_: files))


def _once(load: Callable[[], PredictsSaliency]) -> Callable[[], PredictsSaliency]:
    """A function that loads the predictor once, whichever of several threads asks first."""
    lock, cached = Lock(), cache(load)

    def loaded() -> PredictsSaliency:
        with lock:
            return cached()

    return loaded


def _find_images(folder: Path, split: str, layout: str) -> Named:
    try:
        if known := find_layout(folder, split, layout).files(folder, split).images:
            return known
    except FileNotFoundError:
        if not folder.is_dir():
            raise
    paths = list_images(folder)
    stems = {path.stem for path in paths}
    below = len(stems) < len(paths)
    return [(path.relative_to(folder).with_suffix("").as_posix() if below else path.stem, path) for path in paths]
