"""A matplotlib figure that is placed by hand, in pixels from its upper left corner."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from augsal_transforms.files import write_file
from augsal_transforms.gallery.texts import Caption

GALLERY, EXPLANATION = "augsal gallery", "augsal explain"  # the commands that write figures
INK, SOFT, ACCENT = "#1c1c1e", "#55565c", "#b8400e"
_DPI = 150  # a pixel of the canvas is 1/100 inch

Place = tuple[float, float, float, float]  # left, top, width, height


class Canvas:
    """A white figure of ``width`` × ``height`` pixels.

    Raises:
        ImportError: If matplotlib is not installed.
    """

    def __init__(self, width: float, height: float) -> None:
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError('The figure needs matplotlib: pip install "augsal-transforms[viz]".') from error
        self.figure = Figure(figsize=(width / 100, height / 100), facecolor="white")
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_axis_off()
        self.width, self.height = width, height

    def text(self, left: float, top: float, text: str, *, size: float = 8, **style: Any) -> None:
        """A line of text, plain: a stranger's ``$`` begins no formula."""
        style = {"color": INK, "verticalalignment": "top", **style}
        self.axes.text(left, top, text, fontsize=size, parse_math=False, **style)

    def picture(self, picture: PIL.Image.Image | np.ndarray[Any, Any], place: Place) -> Place:
        """A picture in the middle of a place, as large as it fits; returns the place that it takes."""
        pixels, (left, top, *room) = np.asarray(picture), place
        scale = min(room[0] / pixels.shape[1], room[1] / pixels.shape[0])
        height, width = (length * scale for length in pixels.shape[:2])
        x, y = left + (room[0] - width) / 2, top + (room[1] - height) / 2
        options: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 255} if pixels.ndim == 2 else {}
        interpolation = "nearest" if scale > 1 else "antialiased"
        self.axes.imshow(pixels, extent=(x, x + width, y + height, y), interpolation=interpolation, **options)
        return x, y, width, height

    def frame(self, place: Place, color: str, style: str = "-") -> None:
        """The outline of a place."""
        left, top, width, height = place
        corners = ((left, left + width, left + width, left, left), (top, top, top + height, top + height, top))
        self.axes.plot(*corners, color=color, linestyle=style, linewidth=1.6 if style == "-" else 0.8)

    def caption(self, left: float, top: float, caption: Caption, *, size: float = 8) -> None:
        """A caption on one line, its marked word bold and in colour."""
        from matplotlib.offsetbox import AnnotationBbox, HPacker, TextArea

        plain, marked = {"fontsize": size, "color": INK}, {"fontsize": size, "color": ACCENT, "fontweight": "bold"}
        parts = [(caption.before, plain), (caption.word, marked), (caption.after, plain)]
        areas = [
            TextArea(_on_one_line(text), textprops={**style, "parse_math": False}) for text, style in parts if text
        ]
        if areas:
            line = HPacker(children=[*areas], pad=0, sep=0, align="baseline")
            self.axes.add_artist(
                AnnotationBbox(line, (left, top), box_alignment=(0, 1), frameon=False, pad=0, annotation_clip=False)
            )

    def save(self, path: Path, command: str) -> None:
        """Write the figure, whole or not at all, in the format of its ending: .png, .pdf or .svg.

        Args:
            path: The file.
            command: The command that writes it, by which ``is_figure`` knows it.
        """
        from matplotlib import rc_context

        self.axes.set_xlim(0, self.width)
        self.axes.set_ylim(self.height, 0)
        self.axes.set_aspect("auto")
        kind, content = path.suffix.removeprefix(".").lower(), io.BytesIO()
        metadata = {"png": {"Software": command}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
        with rc_context({"svg.hashsalt": command}), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from")  # such a letter is drawn as a box
            self.figure.savefig(content, format=kind, dpi=_DPI, metadata=metadata)
        write_file(path, content.getvalue())


def is_figure(path: Path, command: str) -> bool:
    """Whether a file is a PNG that ``Canvas.save`` wrote for a command."""
    try:
        with PIL.Image.open(path, formats=("PNG",)) as picture:
            return bool(picture.info.get("Software") == command)
    except Exception:  # any other file
        return False


def _on_one_line(text: str) -> str:
    return "".join(" " if letter in "\n\t\r" else letter for letter in text)
