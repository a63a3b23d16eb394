"""Write the images of a fixation-shift study from a store: originals, their edits, edit masks and a table."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import PIL.Image
from torch import Tensor
from torchvision.transforms.v2.functional import to_pil_image

from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.data.images import read_image, to_rgb_image
from augsal_transforms.data.pictures import Source
from augsal_transforms.data.tables import csv_safe
from augsal_transforms.files import replacing, write_file
from augsal_transforms.gaze_study.study import COLUMNS, TABLE
from augsal_transforms.store.records import StoredEdit
from augsal_transforms.store.store import EditStore

METADATA = ("strength", "color", "word", "bound_by")  # columns beside those that ``read_edit_table`` needs
Row = dict[str, object]


def write_stimuli(
    store: EditStore,
    dataset: SaliencyFolder,
    folder: Path,
    *,
    count: int = 50,
    seed: int = 0,
    progress: Callable[[Sequence[int]], Iterable[int]] = iter,
) -> int:
    """Write ``images``, ``masks`` and ``edits.csv`` for images drawn from those whose edits the store holds.

    All edits of an image are written: fill a store for the study alone, with the α that are to be shown. All images
    are PNG, so that nothing but the edit tells an edited file from an original.

    In ``edits.csv`` a text that a spreadsheet would run as a formula has an apostrophe before it;
    ``read_edit_table`` removes it.

    Args:
        store: Store with the edits.
        dataset: Data set with the originals.
        folder: Folder of the study, which is made.
        count: Number of originals; fewer are written if the store has edits of fewer.
        seed: Seed of the draw of originals.
        progress: Wrapper of the originals' numbers that is iterated over, such as ``tqdm``.

    Returns:
        Number of edits written.

    Raises:
        FileExistsError: If the folder holds a study already, or the images of one that was not finished.
        ValueError: If the store holds no edit of these images, holds a damaged record, or two images of the data set
            would have one file name.
    """
    if existing := next(
        (path for path in (folder / TABLE, folder / "images", folder / "masks") if path.exists()), None
    ):
        raise FileExistsError(f"{existing} exists already; delete it, or name another folder.")
    names = list(dataset.names)
    _refuse_equal_names(names)
    random.Random(seed).shuffle(names)
    written = (rows for name in names if (rows := list(_write_image(store, dataset.images[name], name, folder))))
    rows = list[Row]()
    for _ in progress(range(min(count, len(names)))):
        rows += next(written, [])
    if not rows:
        raise ValueError(f"{store} holds no edit of the {len(names)} images; `augsal generate` fills it.")
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, [*COLUMNS, *METADATA])
    writer.writeheader()
    writer.writerows({column: csv_safe(cell) for column, cell in row.items()} for row in rows)
    write_file(folder / TABLE, table.getvalue().encode("utf-8"))
    return len(rows)


def _file_name(name: str) -> str:
    return name.replace("/", "-")


def _refuse_equal_names(names: Iterable[str]) -> None:
    """Refuse names that differ in ``/`` and ``-`` alone: one file would be written over the other."""
    written: dict[str, str] = {}
    for name in names:
        if (other := written.setdefault(_file_name(name), name)) != name:
            raise ValueError(f"{name!r} and {other!r} would both be written as {_file_name(name)}.png; rename one.")


def _write_image(store: EditStore, path: Source, name: str, folder: Path) -> Iterator[Row]:
    """Write an original with those of its edits that changed it, and return their rows."""
    image, name = to_rgb_image(read_image(path)).as_subclass(Tensor), _file_name(name)
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
    metadata = {column: getattr(result, column) for column in METADATA}
    return {"edit": name, "original": original, "kind": result.kind, "alpha": result.alpha, **metadata}


def _save(picture: PIL.Image.Image, path: Path) -> None:
    with replacing(path) as file:
        picture.save(file, "png")
