"""Images with saliency maps and captions on disk, and SALICON's layout of them; ``layouts`` has the others."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from torch.utils.data import Dataset

from augsal_transforms.data.images import read_image

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_COCO_NAME = re.compile(r"COCO_(train|val|test)2014_")


def list_images(folder: Path) -> list[Path]:
    """Image files below a folder, sorted; dot files and dot folders are skipped."""
    found = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in IMAGE_ENDINGS)
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def list_files(folder: Path, endings: tuple[str, ...] = IMAGE_ENDINGS) -> list[Path]:
    """Files of these endings in a folder, sorted; none where there is no folder. Dot files are skipped."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in endings and not p.name.startswith("."))


def captions_file(folder: Path, split: str) -> Path | None:
    """Where a folder keeps its captions, if it has any; the places are those of ``read_captions``."""
    coco = f"captions_{split}2014.json"
    places = (folder / "annotations" / coco, folder / coco, folder / "captions.json")
    return next((path for path in places if path.exists()), None)


def load_captions(path: Path) -> dict[str, str]:
    """First caption of each image by file stem, from COCO's format or a plain table of stem to caption.

    Raises:
        ValueError: If the file is neither.
    """
    try:
        table = json.loads(path.read_text())
        if "annotations" not in table:
            return {str(stem): str(caption) for stem, caption in table.items()}
        stems = {entry["id"]: Path(entry["file_name"]).stem for entry in table["images"]}
        captions: dict[str, str] = {}
        for entry in table["annotations"]:
            captions.setdefault(stems[entry["image_id"]], entry["caption"])
        return captions
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} must be captions in COCO's format or a table of file stem to caption; reading it failed on "
            f"{type(error).__name__}: {error}."
        ) from error


def read_captions(folder: Path, split: str) -> dict[str, str]:
    """First caption of each image by file stem; empty where a folder has none.

    Reads ``annotations/captions_{split}2014.json`` or ``captions_{split}2014.json`` in COCO's format, or
    ``captions.json``, a plain table of stem to caption.
    """
    path = captions_file(folder, split)
    return load_captions(path) if path else {}


class Files(NamedTuple):
    """What a layout finds: (name, path) of each image and of each map. Names may repeat; readers refuse that."""

    images: list[tuple[str, Path]]
    maps: list[tuple[str, Path]]


@dataclass(frozen=True)
class Layout:
    """How a data set lies on disk.

    Attributes:
        name: What to ask for it by.
        expects: The files it looks for, as a sentence has it; ``{split}`` stands for the split.
        find: From the data set's folder and the split to what is there.
    """

    name: str
    expects: str
    find: Callable[[Path, str], Files]


def find_salicon(folder: Path, split: str) -> Files:
    """Images and maps, each in a folder for the split or in one for all, as repositories of the field have it.

    A folder for all may hold COCO's training, validation and test images together: their names tell them
    apart. Where neither images nor maps are divided, other names are of the split ``"train"``.
    """
    divided = {kind: (folder / kind / split).is_dir() for kind in ("images", "maps")}

    def named(kind: str) -> list[tuple[str, Path]]:
        if divided[kind]:
            return [(path.stem, path) for path in list_images(folder / kind / split)]
        return [(path.stem, path) for path in list_files(folder / kind) if belongs(path.stem)]

    def belongs(name: str) -> bool:
        coco = _COCO_NAME.match(name)
        return coco[1] == split if coco else split == "train" or any(divided.values())

    return Files(named("images"), named("maps"))


SALICON = Layout(
    "salicon",
    "images/{split}/NAME.jpg and maps/{split}/NAME.png, as in SALICON, or images/NAME.jpg and maps/NAME.png",
    find_salicon,
)


class SaliencyFolder(Dataset[dict[str, Any]]):
    """Images, maps and captions of a data set on disk, joined by name.

    Each sample is a dict: ``image`` and ``saliency_map`` (PIL), ``prompt`` ("" where no caption is known)
    and ``image_id``, the name. Images without a map are left out.

    Args:
        folder: The data set's folder.
        split: ``"train"`` or ``"val"``; a data set that is not divided is all ``"train"``.
        captions: By name, where they are known already; ``None`` reads them.
        layout: How it lies on disk; ``layouts.open_layout`` finds that out.

    Attributes:
        names: Of the samples, sorted.
        images: Each image's path by name, those without a map too.
        maps: Each map's path by name.

    Raises:
        FileNotFoundError: If no image has a map.
        ValueError: If two files share a name, so that it is unclear which map is whose.
    """

    def __init__(
        self,
        folder: str | Path,
        split: str = "train",
        *,
        captions: Mapping[str, str] | None = None,
        layout: Layout = SALICON,
    ) -> None:
        self.folder, self.split, self.layout = Path(folder), split, layout.name
        found = layout.find(self.folder, split)
        self.images, self.maps = unique(found.images), unique(found.maps)
        self.names = sorted(self.images.keys() & self.maps.keys())
        if not self.names:
            raise FileNotFoundError(
                f"{self.folder} has no image with a map: {len(self.images)} images and {len(self.maps)} maps were "
                f"found, none of the same name. Expected {layout.expects.format(split=split)}."
            )
        self.captions = read_captions(self.folder, split) if captions is None else captions

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


def unique(named: list[tuple[str, Path]]) -> dict[str, Path]:
    """(name, path) pairs as a table.

    Raises:
        ValueError: If a name is there twice.
    """
    table: dict[str, Path] = {}
    for name, path in named:
        if table.setdefault(name, path) != path:
            raise ValueError(f"{path} and {table[name]} share the name {name!r}; keep one of them.")
    return table
