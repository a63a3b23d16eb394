"""The files of a data set, and the image files of a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from augsal_transforms.data.names import IMAGE_ENDINGS

if TYPE_CHECKING:
    from augsal_transforms.data.pictures import Source
    from augsal_transforms.data.recorded import Recordings

Named = Sequence[tuple[str, "Source"]]
Paths = Sequence[tuple[str, Path]]


class Files(NamedTuple):
    """The files of a data set: (name, path) of each image, map and fixation file. Names may repeat.

    ``release`` has the fixations of all images: SALICON's JSON release, OSIE's .mat file, or a data set of pysaliency.
    It is read where no image has a file of its own. ``makes_maps`` says that there are no maps: they are made from
    ``release``, by a Gaussian of ``degree``, one degree of visual angle in pixels, or that of an image's (H, W).
    """

    images: Named
    maps: Named
    fixations: Paths = ()
    release: Path | Recordings | None = None
    makes_maps: bool = False
    degree: float | Callable[[tuple[int, int]], float] | None = None

    def paired(self) -> set[str]:
        """Names of the images that have a map; ``release`` is not read, but taken to have all."""
        if self.makes_maps:
            return {name for name, _ in self.images}
        return {name for name, _ in self.images} & {name for name, _ in self.maps}


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
