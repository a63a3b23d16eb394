"""The pictures of a fixation-shift study, out of a store: originals, their edits, the edit masks, and a table."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import PIL.Image
from torch import Tensor
from torchvision.transforms.v2.functional import to_pil_image

from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.data.images import read_image, to_rgb_image
from augsal_transforms.gaze_study.study import COLUMNS, TABLE
from augsal_transforms.store.records import StoredEdit
from augsal_transforms.store.store import EditStore

METADATA = ("strength", "color", "word", "bound_by")  # of the edit, beside what ``read_edit_table`` needs
Row = dict[str, object]


def write_stimuli(store: EditStore, dataset: SaliencyFolder, folder: Path, *, count: int = 50, seed: int = 0) -> int:
    """Write ``images``, ``masks`` and ``edits.csv`` of images drawn from those whose edits the store holds.

    All edits of an image are written, so a store for a study holds the strengths to be shown and no others.
    Everything is PNG: files tell originals and edits apart by nothing but the edit.

    Args:
        store: Holds the edits.
        dataset: The originals.
        folder: Where the study is to be.
        count: How many originals; fewer where the store has fewer.
        seed: Draws them.

    Returns:
        How many edits were written.

    Raises:
        FileExistsError: If the folder holds a study already, or the pictures of one that was not finished.
        ValueError: If the store holds no edit of these images, or a damaged record.
    """
    if existing := next((path for path in (folder / TABLE, folder / "images") if path.exists()), None):
        raise FileExistsError(f"{existing} exists already; delete it, or name another folder.")
    names = list(dataset.names)
    random.Random(seed).shuffle(names)
    written = (rows for name in names if (rows := list(_write_image(store, dataset.images[name], name, folder))))
    rows = [row for of_image in islice(written, count) for row in of_image]
    if not rows:
        raise ValueError(f"{store} holds no edit of the {len(names)} images; `augsal generate` fills it.")
    with (folder / TABLE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*COLUMNS, *METADATA])
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def _write_image(store: EditStore, path: Path, name: str, folder: Path) -> Iterator[Row]:
    """Write an original with its edits that changed something; their rows."""
    image, name = to_rgb_image(read_image(path)).as_subclass(Tensor), name.replace("/", "-")
    stored = {edit.path: store.read(edit.path) for edit in store.list_edits(image)}
    if damaged := next((path for path, edit in stored.items() if edit is None), None):
        raise ValueError(f"{damaged} is damaged; `augsal verify --repair` deletes it.")
    shown = {path: edit for path, edit in stored.items() if edit and edit.edit_mask.any()}
    if shown:
        _save(to_pil_image(image), folder / "images" / f"{name}.png")
    for path, edit in shown.items():
        yield _write_edit(edit, image, name, f"{name}-{path.stem[:-8]}", folder)


def _write_edit(stored: StoredEdit, image: Tensor, original: str, name: str, folder: Path) -> Row:
    result = stored.onto(image)
    _save(to_pil_image(result.image), folder / "images" / f"{name}.png")
    _save(to_pil_image(result.edit_mask), folder / "masks" / f"{name}.png")
    about = {column: getattr(result, column) for column in METADATA}
    return {"edit": name, "original": original, "kind": result.kind, "alpha": result.alpha, **about}


def _save(picture: PIL.Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
