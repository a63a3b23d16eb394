"""Every output of every command: checked before the work, whole or absent after it, never onto another file.

A file that exists is replaced if the same command wrote it, or with ``--overwrite``. An input, a folder, a link or a
device is never replaced.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from augsal_transforms.files import write_file

if TYPE_CHECKING:
    import PIL.Image

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
FIGURES = (".png", ".pdf", ".svg")


def check_output(
    path: Path,
    option: str,
    *,
    inputs: Iterable[Path] = (),
    endings: Sequence[str] = (),
    overwrite: bool = False,
    is_own: Callable[[Path], bool] | None = None,
) -> None:
    """Refuse a file that could not be written, or that would take the place of another; writes nothing.

    Args:
        path: The file to be written.
        option: The option that names it, for the message.
        inputs: Files that the command reads.
        endings: The endings that the format allows, in lower case; any where empty.
        overwrite: Whether an existing file that is not an input may be replaced.
        is_own: Whether an existing file is one that this command writes, and may be replaced for that.

    Raises:
        ValueError: For an unknown ending, an input, a folder, a link, a device or a file that has another in its way.
        FileExistsError: If the file exists and ``overwrite`` is false.
    """
    if endings and path.suffix.lower() not in endings:
        raise ValueError(f"{option} must end in {', '.join(endings)}, got {str(path)!r}.")
    if path.is_symlink():
        raise ValueError(f"{option}: {path} is a link, which is not followed. Name the file itself, or another one.")
    if path.is_dir():
        raise ValueError(f"{option} must be a file, and {path} is a folder. Name a file in it.")
    if path.exists():
        if any(_is_same(path, other) for other in inputs):
            raise ValueError(f"{option}: {path} is an input of this command. Name another file.")
        if not path.is_file():
            raise ValueError(f"{option}: {path} is not a regular file. Name another one.")
        if not (overwrite or (is_own and is_own(path))):
            raise FileExistsError(f"{option}: {path} exists already. Name another file, or give --overwrite.")
    check_folder(path.parent, option)


def check_outputs_apart(**outputs: Path | None) -> None:
    """Refuse two outputs of one command in one file.

    Raises:
        ValueError: If two of them name one file.
    """
    named = [(f"--{option.replace('_', '-')}", path.absolute()) for option, path in outputs.items() if path]
    for number, (option, path) in enumerate(named):
        for other, earlier in named[:number]:
            if path.resolve() == earlier.resolve():
                raise ValueError(f"{other} and {option} name one file, {path}. Give each a file of its own.")


def check_folder(folder: Path, option: str) -> None:
    """Refuse a folder that is not there and cannot be made, or cannot be written to; writes nothing.

    Raises:
        ValueError: If a file is in its way, or it cannot be written to.
    """
    existing = existing_parent(folder)
    if not existing.is_dir():
        raise ValueError(f"{option}: {existing} is a file, so that {folder} cannot be a folder. Name another one.")
    try:
        with tempfile.TemporaryFile(dir=existing):  # permissions alone do not decide
            pass
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise ValueError(f"{option}: {folder} cannot be written to ({error.strerror}). Name another folder.") from error


def check_files_in(
    folder: Path,
    names: Iterable[str],
    option: str,
    *,
    inputs: Iterable[Path] = (),
    overwrite: bool = False,
    is_own: Callable[[Path], bool] | None = None,
) -> None:
    """Refuse a folder where one of these files could not be written; links inside the folder are not followed.

    Args:
        folder: The output folder.
        names: Paths of the files to be written, relative to ``folder``.
        option: The option that names the folder, for the message.
        inputs: Files that the command reads.
        overwrite: Whether existing files that are not inputs may be replaced.
        is_own: As in ``check_output``.

    Raises:
        ValueError: As ``check_output``, and for a link between the folder and a file.
        FileExistsError: If one of the files exists and ``overwrite`` is false.
    """
    check_folder(folder, option)
    read = {(status.st_dev, status.st_ino) for path in inputs if path.exists() for status in [path.stat()]}
    for name in names:
        path = folder / name
        between = [folder / part for part in Path(name).parents if str(part) != "."]
        if link := next((part for part in between if part.is_symlink()), None):
            raise ValueError(f"{option}: {link} is a link, which is not followed. Remove it, or name another folder.")
        if not (path.exists() or path.is_symlink()):
            continue
        status = path.stat() if path.exists() else path.lstat()
        same = [path] if (status.st_dev, status.st_ino) in read else []
        check_output(path, option, inputs=same, overwrite=overwrite, is_own=is_own)


def existing_parent(path: Path) -> Path:
    """The path itself, or the nearest parent that exists."""
    return next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    write_file(path, text.encode())


def write_picture(path: Path, picture: PIL.Image.Image) -> None:
    """Write an image in the format of its ending, whole or not at all."""
    import PIL.Image

    PIL.Image.init()
    content = BytesIO()
    picture.save(content, PIL.Image.registered_extensions()[path.suffix.lower()])
    write_file(path, content.getvalue())


def _is_same(path: Path, other: Path) -> bool:
    return other.exists() and path.samefile(other)
