"""Images and maps that are no files of their own: made when they are read, or kept in a larger file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import PIL.Image


class Picture(ABC):
    """An image or a map that ``read_image`` and ``read_size`` read, in the place of a path.

    Attributes:
        name: Name of the image in its data set.
        source: The file that it is read from.
    """

    name: str
    source: Path

    @property
    def stem(self) -> str:
        """The image's name without folders, as a path has it."""
        return self.name.rpartition("/")[2]

    @abstractmethod
    def read(self) -> PIL.Image.Image:
        """The picture; ``ValueError`` if it cannot be read."""

    @abstractmethod
    def read_size(self) -> tuple[int, int]:
        """(H, W); ``ValueError`` if it cannot be read."""

    def settings(self) -> str | None:
        """Text that, with the content of ``source``, decides the pixels; ``None`` where that is not known."""
        return None

    def __str__(self) -> str:
        return f"{self.source}: {self.name}"


Source = Path | Picture
