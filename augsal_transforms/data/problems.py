"""The problems of a data set, and the file that lists them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from augsal_transforms.data.outputs import refuse_foreign
from augsal_transforms.data.tables import csv_safe
from augsal_transforms.files import write_file


class Problem(NamedTuple):
    """One thing that is wrong: its kind, the image's name, the file, and a sentence."""

    kind: str
    name: str
    path: str
    detail: str


@dataclass(frozen=True)
class Report:
    """The contents of a data set, and what is wrong with it.

    Attributes:
        layout: Name of the layout.
        split: The split that was asked for.
        images: Number of image files.
        maps: Number of map files.
        pairs: Number of images that have a map, names that several files share not counted.
        captions: Number of images with a map that have a caption.
        fixations: Number of images that have fixations.
        points: Number of fixations inside their images.
        problems: All that were found.
        points_left_out: Number of fixations outside their images or without coordinates.
    """

    layout: str
    split: str
    images: int
    maps: int
    pairs: int
    captions: int
    fixations: int
    points: int
    problems: list[Problem]
    points_left_out: int = 0


def write_problems(problems: Iterable[Problem], path: Path, *, overwrite: bool = False) -> None:
    """Write problems as CSV: kind, name, path, detail.

    Args:
        problems: The problems.
        path: The file.
        overwrite: Whether a file that is no such table is replaced too.

    Raises:
        FileExistsError: If the path is a link, or a file that is no such table.
    """
    refuse_foreign(path, is_problem_table, overwrite=overwrite)
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerows([Problem._fields, *([csv_safe(cell) for cell in problem] for problem in problems)])
    write_file(path, text.getvalue().encode("utf-8", "backslashreplace"))


def is_problem_table(path: Path) -> bool:
    """Whether a file is a table that ``write_problems`` wrote."""
    header = ",".join(Problem._fields).encode()
    with path.open("rb") as file:
        return file.read(len(header)) == header
