"""Images with saliency maps and captions on disk: SALICON's layout, and plain folders like it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from augsal_transforms.data.images import read_image

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def list_images(folder: Path) -> list[Path]:
    """Image files below a folder, sorted; dot files and dot folders are skipped."""
    found = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in IMAGE_ENDINGS)
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def read_captions(folder: Path, split: str) -> dict[str, str]:
    """First caption of each image by file stem; empty where a folder has none.

    Reads ``annotations/captions_{split}2014.json`` or ``captions_{split}2014.json`` in COCO's format, or
    ``captions.json``, a plain table of stem to caption.
    """
    for path in (folder / "annotations" / f"captions_{split}2014.json", folder / f"captions_{split}2014.json"):
        if path.exists():
            table = json.loads(path.read_text())
            stems = {entry["id"]: Path(entry["file_name"]).stem for entry in table["images"]}
            captions: dict[str, str] = {}
            for entry in table["annotations"]:
                captions.setdefault(stems[entry["image_id"]], entry["caption"])
            return captions
    plain = folder / "captions.json"
    return dict(json.loads(plain.read_text())) if plain.exists() else {}


class SaliencyFolder(Dataset[dict[str, Any]]):
    """Images, maps and captions in SALICON's layout.

    Expects ``images/{split}/NAME.jpg`` (or flat ``images/NAME.jpg``) and ``maps/{split}/NAME.png`` (or flat
    ``maps/NAME.png``), joined by NAME. Each sample is a dict: ``image`` and ``saliency_map`` (PIL),
    ``prompt`` ("" where no caption is known) and ``image_id`` (NAME).

    Args:
        folder: The data set's folder.
        split: ``"train"`` or ``"val"``.
        captions: By NAME, where they are known already; ``None`` reads them.

    Raises:
        FileNotFoundError: If no image has a map.
        ValueError: If two files share a name, so that it is unclear which map is whose.
    """

    def __init__(self, folder: str | Path, split: str = "train", *, captions: Mapping[str, str] | None = None) -> None:
        self.folder, self.split = Path(folder), split
        images, maps = (self._by_stem(kind) for kind in ("images", "maps"))
        self.names = sorted(images.keys() & maps.keys())
        if not self.names:
            raise FileNotFoundError(
                f"{self.folder} has no image with a map: {len(images)} images and {len(maps)} maps were found, "
                f"none of the same name. Expected images/{split}/NAME.jpg and maps/{split}/NAME.png, as in SALICON."
            )
        self.images, self.maps = images, maps
        self.captions = read_captions(self.folder, split) if captions is None else captions

    def _by_stem(self, kind: str) -> dict[str, Path]:
        parent = self.folder / kind
        split = parent / self.split
        paths = list_images(split) if split.is_dir() else [p for p in list_images(parent) if p.parent == parent]
        table = {path.stem: path for path in paths}
        if len(table) < len(paths):
            twice = next(path for path in paths if table[path.stem] != path)
            raise ValueError(f"{twice} and {table[twice.stem]} share the name {twice.stem!r}; keep one of them.")
        return table

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
