"""Layouts of data sets on disk: SALICON, MIT1003, CAT2000, OSIE, and plain folders.

A new layout is one entry of ``LAYOUTS``. This module imports neither torch nor Pillow, so that help texts can list it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from augsal_transforms.data.degrees import degree_of_osie
from augsal_transforms.data.listing import Files, Named, Paths, by_stem, list_files, list_images
from augsal_transforms.data.names import match_names, printable, to_name

if TYPE_CHECKING:
    from augsal_transforms.data.folders import SaliencyFolder
    from augsal_transforms.data.pictures import Source

_COCO_NAME = re.compile(r"COCO_(train|val|test)2014_")
_FIXATION_PLACES = ("fixations/{}", "fixation_maps/{}", "fixations/fixations", "fixations", "fixation_maps")
_UNDIVIDED = "not divided: all of it is 'train'"


@dataclass(frozen=True)
class Layout:
    """The places of a data set's files on disk.

    Attributes:
        name: The name by which it is asked for.
        expects: The files that it looks for, as part of a sentence; ``{split}`` stands for the split.
        find: Returns the files of a data set's folder and split, each image, map and fixation file named by its image.
    """

    name: str
    expects: str
    find: Callable[[Path, str], Files]

    def files(self, folder: Path, split: str) -> Files:
        """The files that ``find`` returns, with names in one spelling and maps named as their images are."""
        found = self.find(folder, split)
        images = [(to_name(name), path) for name, path in found.images]
        names = match_names((name for name, _ in found.maps), {name for name, _ in images})
        maps = [(names.get(name, to_name(name)), path) for name, path in found.maps]
        return found._replace(images=images, maps=maps)


def open_layout(
    folder: str | Path, split: str = "train", layout: str = "auto", sigma: float | None = None
) -> SaliencyFolder:
    """Open a data set of images with saliency maps, whichever layout it has.

    Args:
        folder: The data set's folder.
        split: ``"train"`` or ``"val"``; a data set that is not divided is all ``"train"``.
        layout: A name in ``LAYOUTS``, or ``"auto"`` to recognise it.
        sigma: Standard deviation in pixels of the Gaussian that makes OSIE's maps; ``None`` is one degree of vision.

    Returns:
        The data set. Names are file stems; in CAT2000, where stems repeat, ``Category/001``.

    Raises:
        FileNotFoundError: If nothing was recognised, or no image has a map.
        ValueError: If there is no such layout, OSIE's file has another form, or ``sigma`` is given for stored maps.
        ImportError: For OSIE's .mat file where scipy is not installed.
    """
    from augsal_transforms.data.folders import SaliencyFolder

    return SaliencyFolder(folder, split, layout=find_layout(folder, split, layout), sigma=sigma)


def find_layout(folder: str | Path, split: str = "train", layout: str = "auto") -> Layout:
    """The layout of that name, or for ``"auto"`` the first that finds images with maps, or files at all.

    Raises:
        FileNotFoundError: If nothing was recognised; the message lists the places that were searched.
        ValueError: If there is no such layout.
    """
    if layout != "auto":
        if layout not in LAYOUTS:
            raise ValueError(f"`layout` must be 'auto' or one of {', '.join(map(repr, LAYOUTS))}, got {layout!r}.")
        return LAYOUTS[layout]
    folder = _check_folder(folder)
    if folder.is_file():
        return LAYOUTS["pysaliency"]
    found = [(candidate, candidate.files(folder, split)) for candidate in LAYOUTS.values()]
    paired = [one for one, files in found if files.paired()]
    started = [one for one, files in found if files.images or files.maps]
    if not (paired or started):
        looked_for = "".join(f"\n  {one.name}: {one.expects.format(split=split)}" for one, _ in found)
        holds = ", ".join(sorted(printable(path.name) for path in folder.iterdir())[:8]) or "nothing"
        raise FileNotFoundError(
            f"{printable(folder)} has no layout known for {split!r}; it holds {holds}. Known:{looked_for}\n"
            "  Images without saliency maps: --predict-maps of `augsal generate` and `augsal gallery` predicts them."
        )
    return (paired or started)[0]


def _check_folder(folder: str | Path) -> Path:
    """A folder, or a file of pysaliency in its place."""
    folder = Path(folder)
    if not (folder.is_dir() or (folder.suffix.lower() in (".hdf5", ".h5") and folder.is_file())):
        raise FileNotFoundError(f"{printable(folder)} is not a folder.")
    return folder


def images_of(folder: str | Path) -> list[Source]:
    """The images of a folder, without saliency and fixation maps where its layout is known.

    Returns:
        Sorted paths: the training and validation images of a data set of a known layout, or else all image files
        below the folder.

    Raises:
        FileNotFoundError: If the folder is not there.
    """
    folder = _check_folder(folder)
    layouts = [LAYOUTS["pysaliency"]] if folder.is_file() else LAYOUTS.values()
    found = [[layout.files(folder, split) for split in ("train", "val")] for layout in layouts]
    paired = (files for files in found if any(part.paired() for part in files))
    both = (files for files in found if any(part.images and part.maps for part in files))
    known = next(paired, None) or next(both, [])
    return sorted({path for part in known for _, path in part.images}, key=str) or [*list_images(folder)]


def _find_fixations(folder: Path, split: str) -> Paths:
    """A file for each image, from the first of the usual folders that has any; .mat files win over maps."""
    for place in (folder / place.format(split) for place in _FIXATION_PLACES):
        recorded = by_stem(list_files(place, (".mat",)))  # with repeats, which a map loses
        names = {name for name, _ in recorded}
        if found := [*recorded, *((n, path) for n, path in by_stem(list_files(place)) if n not in names)]:
            return found
    return ()


def _find_release(folder: Path, split: str) -> Path | None:
    name = f"fixations_{split}2014.json"
    return next((path for path in (folder / "annotations" / name, folder / name) if path.is_file()), None)


def _find_salicon(folder: Path, split: str) -> Files:
    """Images and maps, each in a folder for the split or in one for all, as public repositories have it.

    A folder for all may hold COCO's training, validation and test images together: their names tell them
    apart. Where neither images nor maps are divided, other names are of the split ``"train"``.
    """
    divided = {kind: (folder / kind / split).is_dir() for kind in ("images", "maps")}

    def named(kind: str) -> Named:
        if divided[kind]:
            return by_stem(list_images(folder / kind / split))
        return [(path.stem, path) for path in list_files(folder / kind) if belongs(path.stem)]

    def belongs(name: str) -> bool:
        coco = _COCO_NAME.match(name)
        return coco[1] == split if coco else split == "train" or any(divided.values())

    return Files(named("images"), named("maps"), _find_fixations(folder, split), _find_release(folder, split))


def _undoubled(folder: Path) -> Path:
    """A folder, or the one of its own name inside it, which unpacking leaves and UNISAL expects."""
    return folder / folder.name if (folder / folder.name).is_dir() else folder


def _find_mit1003(folder: Path, split: str) -> Files:
    if split != "train":
        return Files([], [])
    images = by_stem(list_files(_undoubled(folder / "ALLSTIMULI")))
    maps = list_files(_undoubled(folder / "ALLFIXATIONMAPS"))
    return Files(images, by_stem(maps, "_fixMap"), by_stem(maps, "_fixPts"))


def _find_cat2000(folder: Path, split: str) -> Files:
    """``Stimuli/Category/Output`` holds files that are no stimuli; only a category's own are listed."""
    if split != "train":
        return Files([], [])
    root = folder / "trainSet" if (folder / "trainSet").is_dir() else folder

    def named(part: str, endings: tuple[str, ...] = (".jpg", ".jpeg", ".png")) -> Paths:
        categories = sorted(path for path in (root / part).glob("*") if path.is_dir() and path.name[0] != ".")
        return [(f"{parent.name}/{path.stem}", path) for parent in categories for path in list_files(parent, endings)]

    return Files(named("Stimuli"), named("FIXATIONMAPS"), named("FIXATIONLOCS", (".mat",)))


def _find_osie(folder: Path, split: str) -> Files:
    root = folder / "data" if (folder / "data" / "stimuli").is_dir() else folder  # or `data` itself
    fixations = root / "eye" / "fixations.mat"
    if split != "train" or not fixations.is_file():
        return Files([], [])
    return Files(by_stem(list_files(root / "stimuli")), [], release=fixations, makes_maps=True, degree=degree_of_osie)


def _find_pysaliency(place: Path, split: str) -> Files:
    if not (place.is_file() or all((place / f"{part}.hdf5").is_file() for part in ("stimuli", "fixations"))):
        return Files([], [])
    from augsal_transforms.data.pysaliency_hdf5 import find_hdf5

    return find_hdf5(place, split)


def _find_plain(folder: Path, split: str) -> Files:
    parts = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    parts = [path for path in parts if "fix" not in path.name.lower() and list_files(path)]
    maps = [path for path in parts if any(word in path.name.lower() for word in ("map", "salien"))]
    images = [path for path in parts if path not in maps]
    fixations, release = _find_fixations(folder, split), _find_release(folder, split)
    if split != "train" or len(images) != 1 or len(maps) != 1:
        return Files([], [], fixations, release)
    return Files(by_stem(list_files(images[0])), by_stem(list_files(maps[0])), fixations, release)


SALICON = Layout(
    "salicon",
    "images/{split}/NAME.jpg and maps/{split}/NAME.png, as in SALICON, or images/NAME.jpg and maps/NAME.png",
    _find_salicon,
)
LAYOUTS = {
    layout.name: layout
    for layout in (
        SALICON,
        Layout("mit1003", f"ALLSTIMULI/NAME.jpeg and ALLFIXATIONMAPS/NAME_fixMap.jpg ({_UNDIVIDED})", _find_mit1003),
        Layout(
            "cat2000",
            "trainSet/Stimuli/CATEGORY/001.jpg and trainSet/FIXATIONMAPS/CATEGORY/001.jpg, "
            f"with or without trainSet ({_UNDIVIDED})",
            _find_cat2000,
        ),
        Layout(
            "osie",
            f"data/stimuli/NAME.jpg and data/eye/fixations.mat, from which maps are made ({_UNDIVIDED})",
            _find_osie,
        ),
        Layout(
            "pysaliency",
            "stimuli.hdf5 and fixations.hdf5 of pysaliency, or one .hdf5 file with both, from which maps are made",
            _find_pysaliency,
        ),
        Layout(
            "plain",
            "one folder of images beside one of maps, the latter with 'map' or 'salien' in its name, "
            f"files of the same names ({_UNDIVIDED})",
            _find_plain,
        ),
    )
}
