"""Captions in a picture, drawn by Pillow: wrapped, shortened where they are long, with one word marked."""

from __future__ import annotations

import importlib.util
import re
import unicodedata
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import PIL.ImageDraw
import PIL.ImageFont

INK, MARK = (40, 40, 40), (178, 24, 43)
LONGEST = 4096  # characters that are laid out: those of a prompt that an editor looks at


class Chunk(NamedTuple):
    """A part of a caption that is drawn at once.

    Attributes:
        text: The characters, without spaces.
        is_marked: Whether they are of the marked word.
        gap: Spaces before it, in characters.
    """

    text: str
    is_marked: bool
    gap: int


@cache
def find_font(size: int, *, full: bool) -> PIL.ImageFont.FreeTypeFont | PIL.ImageFont.ImageFont:
    """Pillow's own font, or one with more letters where there is one.

    Args:
        size: Height in pixels.
        full: Whether letters beyond ASCII are needed. They are then drawn in DejaVu Sans, where the system or
            matplotlib brings it; otherwise as boxes.
    """
    if full:
        matplotlib = importlib.util.find_spec("matplotlib")
        folders = [Path(folder) for folder in (matplotlib.submodule_search_locations or [])] if matplotlib else []
        files = ["DejaVuSans.ttf", *(str(f / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf") for f in folders)]
        for file in files:
            try:
                return PIL.ImageFont.truetype(file, size)
            except OSError:
                continue
    return PIL.ImageFont.load_default(size)


def draw_caption(
    draw: PIL.ImageDraw.ImageDraw,
    caption: str,
    box: tuple[float, float, float],
    *,
    marked: str = "",
    size: int = 12,
    lines: int = 2,
) -> int:
    """Write a caption, with the first occurrence of one word underlined and in another colour.

    A caption that needs more lines is cut. The lines around the marked word are kept.

    Args:
        draw: The picture to draw into.
        caption: The caption. Control characters are left out.
        box: Left, top and width in pixels.
        marked: The word to mark, as it stands in the caption; "" for none.
        size: Height of the letters in pixels.
        lines: Largest number of lines.

    Returns:
        The number of lines written; 0 for a caption without a letter.
    """
    text = "".join(" " if unicodedata.category(letter)[0] in "CZ" else letter for letter in caption[:LONGEST])
    font = find_font(size, full=not text.isascii())
    left, top, width = box
    rows = _shorten(_wrap(_split(text, marked), font, width), lines)
    strong = next((kind for letter in text if (kind := unicodedata.bidirectional(letter)) in ("L", "R", "AL")), "L")
    for number, row in enumerate(rows):
        x, middle = 0.0, top + (number + 0.5) * line_height(size)
        for chunk in row:
            x += chunk.gap * font.getlength(" ")
            length = font.getlength(chunk.text)
            # A caption in Arabic or Hebrew is read from the right.
            start = left + x if strong == "L" else left + width - x - length
            draw.text((start, middle), chunk.text, MARK if chunk.is_marked else INK, font, anchor="lm")
            if chunk.is_marked:
                below = middle + 0.6 * size
                draw.line((start, below, start + length, below), MARK, width=max(1, size // 10))
            x += length
    return sum(map(bool, rows))


def line_height(size: int) -> int:
    """Distance of two lines in pixels."""
    return round(1.5 * size)


def _split(text: str, marked: str) -> list[Chunk]:
    """The words of a text; a mark begins and ends a chunk, so that punctuation beside it stays plain."""
    found = re.search(rf"(?<!\w){re.escape(marked)}(?!\w)", text) if marked else None
    first, end = found.span() if found else (0, 0)
    chunks = []
    for word in re.finditer(r"\S+", text):
        cuts = sorted({word.start(), word.end(), *(cut for cut in (first, end) if word.start() < cut < word.end())})
        for start, stop in pairwise(cuts):
            gap = 1 if start == word.start() and start > 0 else 0
            chunks.append(Chunk(text[start:stop], first <= start < end, gap))
    return chunks


def _wrap(
    chunks: list[Chunk], font: PIL.ImageFont.FreeTypeFont | PIL.ImageFont.ImageFont, width: float
) -> list[list[Chunk]]:
    """The lines of a caption, each at most ``width`` pixels long with room for an ellipsis at both ends."""
    room = width - 2 * font.getlength("… ")
    rows: list[list[Chunk]] = [[]]
    x = 0.0
    waiting = list(reversed(chunks))
    while waiting:
        chunk = waiting.pop()
        gap = chunk.gap if rows[-1] else 0
        length = font.getlength(" ") * gap + font.getlength(chunk.text)
        if x + length <= room or (not rows[-1] and len(chunk.text) == 1):
            rows[-1].append(chunk._replace(gap=gap))
            x += length
        elif rows[-1]:
            rows.append([])
            x = 0.0
            waiting.append(chunk)
        else:  # a word that is longer than a line, or a text without spaces
            fitting = max(1, int(len(chunk.text) * room / length) - 1)
            rest = Chunk(chunk.text[fitting:], chunk.is_marked, 0)
            waiting += [rest, chunk._replace(text=chunk.text[:fitting])]
    return rows


def _shorten(rows: list[list[Chunk]], lines: int) -> list[list[Chunk]]:
    """At most ``lines`` lines, the marked one among them, with an ellipsis where something is left out."""
    marked = next((n for n, row in enumerate(rows) if any(chunk.is_marked for chunk in row)), 0)
    first = max(0, marked - lines + 1)
    kept = [list(row) for row in rows[first : first + lines]]
    if first:
        kept[0] = [
            Chunk("…", False, 0),
            *(chunk._replace(gap=1) if not n else chunk for n, chunk in enumerate(kept[0])),
        ]
    if first + lines < len(rows):
        kept[-1].append(Chunk("…", False, 1))
    return kept
