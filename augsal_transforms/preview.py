"""A picture of samples as a pipeline hands them on: image, saliency map, edit mask and edited image (Fig. 4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from itertools import islice
from typing import Any, NamedTuple, Protocol

import PIL.Image
import PIL.ImageChops
import PIL.ImageDraw
import PIL.ImageFilter
from torch import Tensor

from augsal_transforms.data.captions import to_caption
from augsal_transforms.lettering import draw_caption, line_height
from augsal_transforms.panels import (
    Normalisation,
    check_normalisation,
    find_normalisations,
    replace_part,
    to_grey,
    to_picture,
)
from augsal_transforms.randomness import GlobalState, check_integer
from augsal_transforms.sample import is_picture
from augsal_transforms.sample_keys import SampleKeys, describe_sample
from augsal_transforms.sharing import Tally

TITLES = ("image", "saliency map", "edit mask", "edited image")
PAIR_TITLE = "its estimated map"  # of the edited image, where the augmentation makes pairs
SIDE, GAP, LETTERS, LINES = 192, 6, 12, 2  # pixels of a panel, between panels, and of letters; lines of a caption
LINE = (230, 159, 0)  # orange of Okabe and Ito's palette, which people with any colour vision tell from its surround


class Augmentation(Protocol):
    """The transform whose samples are drawn."""

    keys: SampleKeys

    def __call__(self, *inputs: Any) -> Any:
        """Augment a sample."""


class Row(NamedTuple):
    """A row of the picture.

    Attributes:
        panels: Image, saliency map, image with the edit mask, edited image, and its map if the sample has one.
        caption: The caption, or "".
        word: The word whose region was edited, or "".
        edit: The edit, in words.
    """

    panels: list[PIL.Image.Image]
    caption: str
    word: str
    edit: str


def preview(
    augment: Augmentation,
    samples: Any,
    transform: Any = None,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    count: int = 8,
) -> PIL.Image.Image:
    """Draw samples: image, saliency map, edit mask over the image, edited image, and the caption with its word marked.

    With ``pairs=True`` the estimated map of the edited image stands beside it. Samples that were not augmented yet are
    augmented as configured: with ``p=0.5`` half of them stay unedited, and the picture says so. ``counts`` and the
    draws of the training are not touched. A notebook shows the picture where it is the last value of a cell; a script
    calls ``save``.

    Args:
        augment: This transform.
        samples: A data set, a loader, a list of samples, one sample, or a collated batch; augmented already or not.
        transform: The Compose that the augmentation is the first part of. Samples that were not augmented yet go
            through it, and the means and standard deviations of its ``Normalize`` are used to show natural colours.
        mean: Means that ``Normalize`` subtracted, one or one for each channel, where ``transform`` is not given.
        std: Standard deviations that ``Normalize`` divided by, as many.
        count: Largest number of samples to draw, 1 or more.

    Returns:
        An RGB picture with a row for each sample.

    Raises:
        TypeError: If a sample has no image with a map, or ``transform`` leaves out what the augmentation added.
        ValueError: If there is no sample, or an image lies outside [0, 1] with no known mean and std.
    """
    count = check_integer("count", count, low=1)
    steps = find_normalisations(transform) if mean is std is None else [check_normalisation(mean, std)]
    own: Any = copy(augment)
    own._tally = Tally()  # a look at samples is no training: it is not counted
    pipeline = own if transform is None else replace_part(transform, augment, own)
    before = GlobalState()
    try:
        raw = islice(_each(samples, augment.keys, count), count)
        rows = [_to_row(sample, pipeline, augment.keys, steps) for sample in raw]
    finally:
        before.restore()
    if not rows:
        raise ValueError("`samples` must hold one sample or more, got none.")
    return _draw(rows)


def _each(samples: Any, keys: SampleKeys, count: int) -> Iterator[Any]:
    """Single samples of whatever holds samples."""
    if isinstance(samples, Mapping) or (
        isinstance(samples, (tuple, list)) and (hasattr(samples, "_fields") or any(map(is_picture, samples)))
    ):
        yield from _split(samples, keys)
    elif hasattr(samples, "__getitem__") and hasattr(samples, "__len__"):
        for number in range(min(count, len(samples))):
            yield from _split(samples[number], keys)
    elif isinstance(samples, Iterable):
        for sample in samples:
            yield from _split(sample, keys)
    else:
        kind = type(samples).__name__
        raise TypeError(f"`samples` must be a data set, a loader, a list, a sample or a batch, got {kind}.")


def _split(sample: Any, keys: SampleKeys) -> Iterator[Any]:
    """The samples of a collated batch, or the one sample."""
    image = keys.read(sample).get("image") if isinstance(sample, (Mapping, tuple, list)) else None
    if isinstance(image, Tensor) and image.ndim == 4:
        yield from (_part(sample, number, len(image)) for number in range(len(image)))
    else:
        yield sample


def _part(batch: Any, number: int, size: int) -> Any:
    """One sample's part of collated values."""
    if isinstance(batch, Mapping):
        return {key: _part(value, number, size) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)) and not all(isinstance(item, (str, int, float)) for item in batch):
        return tuple(_part(item, number, size) for item in batch)
    is_shared = isinstance(batch, str) or not hasattr(batch, "__len__") or not getattr(batch, "ndim", 1)
    return batch if is_shared or len(batch) != size else batch[number]


def _to_row(sample: Any, pipeline: Any, keys: SampleKeys, steps: list[Normalisation]) -> Row:
    added = _find_added(sample)
    if added is None:
        sample = pipeline(sample)
        added = _find_added(sample)
    values = keys.read(sample) if isinstance(sample, (Mapping, tuple, list)) else {}
    if added is None or not {"image", "saliency_map"} <= values.keys():
        raise TypeError(
            f"`transform` must hold this augmentation and return {keys.describe()} with `edited_image`; it returned "
            f"{describe_sample(sample)}."
        )
    image, edited = (to_picture(picture, steps) for picture in (values["image"], added["edited_image"]))
    saliency_map = to_grey(values["saliency_map"], image.size, by_peak=True)
    panels = [image, saliency_map.convert("RGB"), _overlay(image, added.get("edit_mask")), edited]
    if "edited_saliency_map" in added:
        panels.append(to_grey(added["edited_saliency_map"], image.size, by_peak=True).convert("RGB"))
    return Row(panels, to_caption(values.get("prompt")), str(added.get("edit_word", "")), _say(added))


def _overlay(image: PIL.Image.Image, edit_mask: Any) -> PIL.Image.Image:
    """An image as large as its panel, dark outside an edit mask, with a line where the mask is 0.5."""
    image = image.resize(_fitted(image))
    mask = PIL.Image.new("L", image.size) if edit_mask is None else to_grey(edit_mask, image.size)
    dimmed = PIL.Image.composite(image, image.point([value // 4 for value in range(256)] * 3), mask)
    inside = mask.point([255 * (value > 127) for value in range(256)])
    dimmed.paste(LINE, mask=PIL.ImageChops.difference(inside.filter(PIL.ImageFilter.MaxFilter(3)), inside))
    return dimmed


def _find_added(sample: Any) -> Mapping[str, Any] | None:
    """The part of a sample that holds what the augmentation added."""
    parts = [sample] if isinstance(sample, Mapping) else sample if isinstance(sample, (tuple, list)) else []
    parts = [sample._asdict(), *parts] if hasattr(sample, "_asdict") else parts
    return next((part for part in parts if isinstance(part, Mapping) and "edited_image" in part), None)


def _say(added: Mapping[str, Any]) -> str:
    """The edit of a sample, in words."""
    told = "map predicted; " if added.get("is_predicted", False) else ""
    if not added.get("is_edited", True):
        return f"{told}not edited"
    kind = f"{added.get('edit_kind', 'edited')} {added.get('edit_color', '')}".strip()
    numbers = [
        f", {name} {float(added[f'edit_{name}']):.3g}" for name in ("alpha", "strength") if f"edit_{name}" in added
    ]
    where = f", word {added['edit_word']}" if added.get("edit_word") else ", the saliency map's region"
    return f"{told}{kind}{''.join(numbers)}{where}"


def _draw(rows: list[Row]) -> PIL.Image.Image:
    """The rows below each other, with titles above."""
    heights = [max(_fitted(panel)[1] for panel in row.panels) for row in rows]
    line = line_height(LETTERS)
    below = (LINES + 1) * line + 2 * GAP
    titles = (*TITLES, PAIR_TITLE)[: max(len(row.panels) for row in rows)]
    width = len(titles) * (SIDE + GAP) + GAP
    picture = PIL.Image.new("RGB", (width, line + GAP + sum(heights) + below * len(rows)), "white")
    draw = PIL.ImageDraw.Draw(picture)
    for column, title in enumerate(titles):
        draw_caption(draw, title, (GAP + column * (SIDE + GAP), GAP / 2, SIDE), size=LETTERS, lines=1)
    top = line + GAP
    for row, height in zip(rows, heights, strict=True):
        for column, panel in enumerate(row.panels):
            picture.paste(panel.resize(_fitted(panel)), (GAP + column * (SIDE + GAP), top))
        top += height
        used = draw_caption(
            draw, row.caption, (GAP, top + GAP / 2, width - 2 * GAP), marked=row.word, size=LETTERS, lines=LINES
        )
        draw_caption(draw, row.edit, (GAP, top + GAP / 2 + used * line, width - 2 * GAP), size=LETTERS, lines=1)
        top += below
    return picture


def _fitted(panel: PIL.Image.Image) -> tuple[int, int]:
    """The size (width, height) at which a panel fits its place."""
    scale = SIDE / max(panel.size)
    return max(1, round(panel.width * scale)), max(1, round(panel.height * scale))
