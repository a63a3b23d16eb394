"""How the data sets of the field lie on disk: SALICON, MIT1003, CAT2000, and plain folders."""

from __future__ import annotations

from pathlib import Path

from augsal_transforms.data.folders import SALICON, Files, Layout, SaliencyFolder, list_files


def open_layout(folder: str | Path, split: str = "train", layout: str = "auto") -> SaliencyFolder:
    """Open a data set of images with saliency maps, whichever layout it has.

    Args:
        folder: The data set's folder.
        split: ``"train"`` or ``"val"``; a data set that is not divided is all ``"train"``.
        layout: ``"salicon"``, ``"mit1003"``, ``"cat2000"``, ``"plain"``, or ``"auto"`` to recognise it.

    Returns:
        The data set. Names are file stems; in CAT2000, where stems repeat, ``Category/001``.

    Raises:
        FileNotFoundError: If nothing was recognised, or no image has a map.
        ValueError: If there is no such layout, or two files share a name.
    """
    return SaliencyFolder(folder, split, layout=find_layout(folder, split, layout))


def find_layout(folder: str | Path, split: str = "train", layout: str = "auto") -> Layout:
    """The layout of that name, or for ``"auto"`` the first that finds images with maps, or files at all.

    Raises:
        FileNotFoundError: If nothing was recognised; the message lists what was looked for.
        ValueError: If there is no such layout.
    """
    if layout != "auto":
        if layout not in LAYOUTS:
            raise ValueError(f"`layout` must be 'auto' or one of {', '.join(map(repr, LAYOUTS))}, got {layout!r}.")
        return LAYOUTS[layout]
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder.")
    found = [(candidate, candidate.find(folder, split)) for candidate in LAYOUTS.values()]
    paired = [one for one, files in found if dict(files.images).keys() & dict(files.maps).keys()]
    started = [one for one, files in found if files.images or files.maps]
    if not (paired or started):
        looked_for = "".join(f"\n  {one.name}: {one.expects.format(split=split)}" for one, _ in found)
        holds = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        raise FileNotFoundError(f"{folder} has no layout known for {split!r}; it holds {holds}. Known:{looked_for}")
    return (paired or started)[0]


def undoubled(folder: Path) -> Path:
    """A folder, or the one of its own name inside it, which unpacking leaves and UNISAL expects."""
    return folder / folder.name if (folder / folder.name).is_dir() else folder


def _find_mit1003(folder: Path, split: str) -> Files:
    if split != "train":
        return Files([], [])
    images = list_files(undoubled(folder / "ALLSTIMULI"))
    maps = list_files(undoubled(folder / "ALLFIXATIONMAPS"))
    return Files(
        [(path.stem, path) for path in images],
        [(path.stem.removesuffix("_fixMap"), path) for path in maps if path.stem.endswith("_fixMap")],
    )


def cat2000_part(folder: Path, part: str) -> list[tuple[str, Path]]:
    """(``Category/001``, path) of the files of ``Stimuli``, ``FIXATIONMAPS`` or ``FIXATIONLOCS``.

    ``Stimuli/Category/Output`` holds files that are no stimuli; only a category's own are listed.
    """
    root = (folder / "trainSet" if (folder / "trainSet").is_dir() else folder) / part
    categories = sorted(path for path in root.glob("*") if path.is_dir() and not path.name.startswith("."))
    endings = (".mat",) if part == "FIXATIONLOCS" else (".jpg", ".jpeg", ".png")
    return [(f"{category.name}/{path.stem}", path) for category in categories for path in list_files(category, endings)]


def _find_cat2000(folder: Path, split: str) -> Files:
    if split != "train":
        return Files([], [])
    return Files(cat2000_part(folder, "Stimuli"), cat2000_part(folder, "FIXATIONMAPS"))


def _find_plain(folder: Path, split: str) -> Files:
    parts = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    parts = [path for path in parts if "fix" not in path.name.lower() and list_files(path)]
    maps = [path for path in parts if any(word in path.name.lower() for word in ("map", "salien"))]
    images = [path for path in parts if path not in maps]
    if split != "train" or len(images) != 1 or len(maps) != 1:
        return Files([], [])
    return Files(*([(path.stem, path) for path in list_files(part)] for part in (images[0], maps[0])))


_UNDIVIDED = "not divided: all of it is 'train'"
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
            "plain",
            "one folder of images beside one of maps, the latter with 'map' or 'salien' in its name, "
            f"files of the same names ({_UNDIVIDED})",
            _find_plain,
        ),
    )
}
