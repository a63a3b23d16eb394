"""The figure of an explanation: image, S, M and mask above, C and C × S of every word below (as Fig. 3)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from augsal_transforms.editor.region import normalise
from augsal_transforms.gallery.canvas import ACCENT, EXPLANATION, INK, SOFT, Canvas, Place
from augsal_transforms.gallery.explain import CONSIDERED, SELECTED, SKIPPED, ExplainedWord, Explanation
from augsal_transforms.gallery.pictures import shrink
from augsal_transforms.gallery.texts import label, mark_word, shorten
from augsal_transforms.photometry import to_unit_range

_COLUMNS, _SIDE, _GAP = 8, 118, 14  # words in a row, pixels of a word's map and between maps
_MARGIN, _LARGE, _LINE = 46, 246, 17  # pixels at the left, of a large panel, and of a line of text
_LONGEST = 140  # characters of a caption
_COLORS = "viridis"  # its lightness rises evenly, so that it is read with any colour vision


@dataclass(frozen=True)
class _Heights:
    """Heights in pixels, for pictures of one shape.

    Attributes:
        large: Height of the pictures at the top.
        small: Height of the maps of a word.
    """

    large: float
    small: float

    @property
    def top(self) -> float:
        """Height at which the words begin."""
        return 2 * _LINE + self.large + 4 * _LINE

    @property
    def block(self) -> float:
        """Height of a row of words."""
        return 3 * _LINE + 2 * (self.small + 6)


def draw_explanation(explanation: Explanation, path: Path, map_title: str = "saliency map S") -> None:
    """Draw an explanation and save the figure; its ending chooses the format.

    Args:
        explanation: The explanation.
        path: The figure's file: .png, .pdf or .svg.
        map_title: Title of S, a map from a file or a prediction.
    """
    rows = -(-len(explanation.words) // _COLUMNS)
    width = _MARGIN + _COLUMNS * (_SIDE + _GAP)
    word, source = explanation.analysis.word, explanation.analysis.source
    share = source.image.shape[-2] / max(source.image.shape[-2:])
    heights = _Heights(share * _LARGE, share * _SIDE)
    canvas = Canvas(width, heights.top + rows * heights.block + (2 * _LINE if rows else 0))
    caption = mark_word(source.prompt, word.text if word else "", word.start if word else None)
    canvas.caption(_MARGIN, 8, shorten(caption, _LONGEST), size=10)
    _draw_panels(canvas, explanation, map_title, heights)
    canvas.text(_MARGIN, heights.top - 2.6 * _LINE, explanation.summary, size=9, fontweight="bold")
    if rows:
        _draw_words(canvas, explanation, heights)
    canvas.save(path, EXPLANATION)


def _draw_panels(canvas: Canvas, explanation: Explanation, map_title: str, heights: _Heights) -> None:
    source, analysis = explanation.analysis.source, explanation.analysis
    mask = analysis.edit_mask.cpu()
    dimmed = to_unit_range(source.image.cpu()) * (0.25 + 0.75 * mask)
    height, width = source.image.shape[-2:]
    found = next((word.overlap for word in explanation.words if word.state == SELECTED), None)
    region = normalise(source.saliency_map.float().cpu() if found is None else found[None])
    if analysis.is_empty:
        region = torch.zeros_like(region)
    maps = [normalise(source.saliency_map.float().cpu()), region]
    panels: list[tuple[str, Any]] = [
        (f"image, {width} × {height}", shrink(source.image)),
        (map_title, _colored(maps[0])),
        (f"region M = {'S' if analysis.word is None else 'C × S'}, scaled to 1", _colored(maps[1])),
        ("edit mask: what is outside is dimmed", shrink(dimmed)),
    ]
    gap = (canvas.width - _MARGIN - 4 * _LARGE - _GAP) / 3
    for number, (title, picture) in enumerate(panels):
        left = _MARGIN + number * (_LARGE + gap)
        canvas.text(left, 2 * _LINE - 4, title, size=8, color=SOFT)
        canvas.picture(picture, (left, 2 * _LINE + 12, _LARGE, heights.large))


def _draw_words(canvas: Canvas, explanation: Explanation, heights: _Heights) -> None:
    words = explanation.words
    note = (
        "C, cross-attention: where the model sees a word. C × S: where people look there, too. "
        "The number is the sum of C × S, as a share of the largest. Skipped words name no thing."
    )
    canvas.text(_MARGIN, heights.top - 1.4 * _LINE, note, size=8, color=SOFT)
    for number, word in enumerate(words):
        left = _MARGIN + number % _COLUMNS * (_SIDE + _GAP)
        top = heights.top + number // _COLUMNS * heights.block
        if number % _COLUMNS == 0:
            for line, title in enumerate(("C", "C × S")):
                y = top + 2 * _LINE + line * (heights.small + 6) + heights.small / 2
                canvas.text(_MARGIN - 8, y, title, horizontalalignment="right", verticalalignment="center")
        _draw_word(canvas, word, (left, top, _SIDE, heights.small), explanation)
    _draw_scale(canvas, explanation.peaks)
    if explanation.cut_off:
        cut = f"{explanation.cut_off} further words are beyond the model's context."
        place = {"horizontalalignment": "right", "color": SOFT}
        canvas.text(canvas.width - _GAP, canvas.height - 1.6 * _LINE - 1, cut, size=7.5, **place)


def _draw_word(canvas: Canvas, word: ExplainedWord, place: Place, explanation: Explanation) -> None:
    left, top, width, height = place
    color = {SELECTED: ACCENT, CONSIDERED: INK, SKIPPED: SOFT}[word.state]
    text = label(word.text)
    shown = text if len(text) <= 17 else f"{text[:16]}…"
    canvas.text(left, top, shown, size=9, color=color, fontweight="bold" if word.state == SELECTED else "normal")
    state = (
        "skipped"
        if word.state == SKIPPED
        else f"{explanation.share(word):.2f}{', selected' if word.state == SELECTED else ''}"
    )
    canvas.text(left, top + _LINE, state, size=7.5, color=color)
    for line, (values, peak) in enumerate(zip((word.cross_attention, word.overlap), explanation.peaks, strict=True)):
        scaled = (values / max(peak, 1e-30)).clamp(0, 1)[None]
        drawn = canvas.picture(_colored(scaled), (left, top + 2 * _LINE + line * (height + 6), width, height))
        if word.state != CONSIDERED:
            canvas.frame(drawn, color, "-" if word.state == SELECTED else ":")


def _draw_scale(canvas: Canvas, peaks: tuple[float, float]) -> None:
    """The colours from 0 to the largest value of C and of C × S."""
    top = canvas.height - 1.6 * _LINE
    ramp = np.linspace(0, 1, 256)[None]
    canvas.axes.imshow(ramp, cmap=_COLORS, extent=(_MARGIN, _MARGIN + 160, top + 12, top), aspect="auto")
    canvas.text(
        _MARGIN + 168, top - 1, f"0 to {peaks[0]:.3g} for C, 0 to {peaks[1]:.3g} for C × S", size=7.5, color=SOFT
    )


def _colored(values: Tensor) -> np.ndarray[Any, Any]:
    """A map (1, h, w) in [0, 1] as RGB, (h, w, 3) uint8, of at most 480 pixels a side."""
    from matplotlib import colormaps

    grey = np.asarray(shrink(values))
    colored: np.ndarray[Any, Any] = colormaps[_COLORS](grey, bytes=True)[..., :3]
    return colored
