"""Image files of a folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from augsal_transforms.data.names import IMAGE_ENDINGS


def list_images(folder: Path) -> list[Path]:
    """Image files below a folder, sorted; dot files and dot folders are skipped."""
    found = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in IMAGE_ENDINGS and path.is_file())
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def list_files(folder: Path, endings: tuple[str, ...] = IMAGE_ENDINGS) -> list[Path]:
    """Files of these endings in a folder, sorted; none where there is no folder. Dot files are skipped."""
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if path.suffix.lower() in endings and path.is_file())
    return sorted(path for path in found if not path.name.startswith("."))


def by_stem(paths: Iterable[Path], ending: str = "") -> list[tuple[str, Path]]:
    """(name, path) of the files whose stems end so, named without that ending."""
    return [(path.stem.removesuffix(ending), path) for path in paths if path.stem.endswith(ending)]
