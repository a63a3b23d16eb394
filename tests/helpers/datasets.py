"""Small data sets on disk, in SALICON's layout."""

import json
from pathlib import Path

import numpy as np
import PIL.Image

from augsal_transforms.scenes.writer import write_scenes


def write_folder(folder: Path, count: int = 6, size: tuple[int, int] = (32, 40)) -> Path:
    """Blocks of grey with a map in the middle, named photo-0 and so on, each with a caption."""
    for kind in ("images", "maps"):
        (folder / kind / "train").mkdir(parents=True)
    field = np.zeros(size, np.uint8)
    field[8:24, 8:24] = 255
    for n in range(count):
        pixels = np.random.default_rng(n).integers(20, 220, (size[0] // 8, size[1] // 8, 3)).astype(np.uint8)
        PIL.Image.fromarray(pixels.repeat(8, 0).repeat(8, 1)).save(folder / "images" / "train" / f"photo-{n}.png")
        PIL.Image.fromarray(field).save(folder / "maps" / "train" / f"photo-{n}.png")
    captions = {f"photo-{n}": "a red dog on the street" for n in range(count)}
    (folder / "captions.json").write_text(json.dumps(captions))
    return folder


def write_damaged_scenes(folder: Path, count: int) -> Path:
    """Scenes of which the second is a corrupt file and the fourth has no caption."""
    write_scenes(folder, count, seed=555)
    images = sorted((folder / "images" / "train").iterdir())
    images[1].write_bytes(images[1].read_bytes()[:300])
    table = folder / "annotations" / "captions_train2014.json"
    captions = json.loads(table.read_text())
    bare = next(image["id"] for image in captions["images"] if Path(image["file_name"]).stem == images[3].stem)
    captions["annotations"] = [entry for entry in captions["annotations"] if entry["image_id"] != bare]
    table.write_text(json.dumps(captions))
    return folder
