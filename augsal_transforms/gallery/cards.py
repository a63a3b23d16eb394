"""The content of a gallery's page: one card an image, one step of its slider an edit."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from torch import Tensor

from augsal_transforms.editor.results import EditedImage
from augsal_transforms.gallery.budget import within_budget
from augsal_transforms.gallery.explain import SKIPPED, Explanation
from augsal_transforms.gallery.pictures import Patch, to_map, to_overlay
from augsal_transforms.gallery.rows import PropertyRow, to_rows
from augsal_transforms.gallery.shown import ShownEdit, ShownImage
from augsal_transforms.gallery.texts import Caption, clean, label, mark_word
from augsal_transforms.readouts.contract import PredictsSaliency


@dataclass(frozen=True)
class Step:
    """One edit on the slider.

    Attributes:
        number: Its number on the card, from 1 on.
        label: Its α, as text.
        asked: α as asked for, and the part that was allowed, as a sentence.
        patch: The part of the picture that changed, or ``None``.
        overlay: The layer that dims what is outside of the region.
        region: M, as a picture.
        caption: The caption with the edit's word marked.
        word: That word, or "".
        source: Origin of the region, a word or the saliency map, as a sentence.
        rows: The six properties.
        saliency: S′ of the edited image as a picture, or "".
        share: The share of S′ inside the region before and after, as a sentence, or "".
    """

    number: int
    label: str
    asked: str
    patch: Patch | None
    overlay: str
    region: str
    caption: Caption
    word: str
    source: str
    rows: list[PropertyRow]
    saliency: str
    share: str


@dataclass(frozen=True)
class Series:
    """The edits of one kind and colour, by α."""

    kind: str
    title: str
    steps: list[Step]


@dataclass(frozen=True)
class Card:
    """An image with its edits.

    Attributes:
        name: Its name.
        size: (width, height) of its picture.
        original: The picture.
        saliency_map: S as a picture, or "".
        prediction: S′ of the original as a picture, or "".
        series: Its edits.
        first: Index of the series that is shown first.
        further: Number of edits that are not shown.
        words: The words of the caption with C and C × S as pictures; empty without an editor.
        outcome: A sentence on the choice of the region, or "".
    """

    name: str
    size: tuple[int, int]
    original: str
    saliency_map: str
    prediction: str
    series: list[Series]
    first: int
    further: int
    words: list[dict[str, Any]]
    outcome: str

    @property
    def steps(self) -> list[Step]:
        """All its edits."""
        return [step for series in self.series for step in series.steps]

    def groups(self, attribute: str) -> list[tuple[Any, str]]:
        """Each different value of an attribute of the steps, with the numbers of the steps that have it."""
        found = dict[Any, list[str]]()
        for step in self.steps:
            found.setdefault(getattr(step, attribute), []).append(str(step.number))
        return [(value, " ".join(numbers)) for value, numbers in found.items()]


def to_cards(
    images: Iterable[ShownImage], predictor: PredictsSaliency | None = None, *, threads: int = 1
) -> Iterator[tuple[ShownImage, Card]]:
    """Each image with its card, in the order of the images.

    Args:
        images: The images.
        predictor: Predicts the saliency that the cards show; ``None`` for cards without it.
        threads: Number of cards that are made at the same time.
    """
    made = deque[tuple[ShownImage, Future[Card]]]()
    with ThreadPoolExecutor(threads) as pool:
        for shown in images:
            made.append((shown, pool.submit(to_card, shown, predictor)))
            if len(made) > threads:
                done, card = made.popleft()
                yield done, card.result()
        for done, card in made:
            yield done, card.result()


def to_card(shown: ShownImage, predictor: PredictsSaliency | None = None) -> Card:
    """The card of an image; with a predictor it has predicted saliency, too."""
    images = [shown.image, *(edit.result.image for edit in shown.edits)]
    size, uri, patches = within_budget(images)
    predictions = predictor.predict(images) if predictor else []
    overlay, region, saliency = (_Remembered(make) for make in (to_overlay, to_map, to_map))
    steps = [
        Step(
            number=n + 1,
            label=f"α = {edit.result.alpha:g}",
            asked=_asked(edit.result),
            patch=patches[n],
            overlay=overlay(edit.result.edit_mask),
            region=region(edit.result.region),
            caption=_caption(edit, shown.explanation),
            word=label(edit.result.word),
            source=_source(edit),
            rows=to_rows(edit),
            saliency=saliency(predictions[n + 1]) if predictions else "",
            share=_share(edit.result.edit_mask, predictions[0], predictions[n + 1]) if predictions else "",
        )
        for n, edit in enumerate(shown.edits)
    ]
    series = _series(steps, [edit.result for edit in shown.edits])
    return Card(
        name=label(shown.name),
        size=size,
        original=uri,
        saliency_map="" if shown.saliency_map is None else to_map(shown.saliency_map),
        prediction=saliency(predictions[0]) if predictions else "",
        series=series,
        first=next((n for n, one in enumerate(series) if one.kind == shown.kind), 0),
        further=shown.further,
        words=_words(shown.explanation),
        outcome=clean(shown.explanation.summary) if shown.explanation else "",
    )


class _Remembered:
    """A function of a tensor that is called once for equal tensors."""

    def __init__(self, function: Callable[[Tensor], str]) -> None:
        self.function, self.known = function, list[tuple[Tensor, str]]()

    def __call__(self, tensor: Tensor) -> str:
        for other, value in self.known:
            if other.shape == tensor.shape and bool((other == tensor).all()):
                return value
        self.known.append((tensor, self.function(tensor)))
        return self.known[-1][1]


def _series(steps: list[Step], results: list[EditedImage]) -> list[Series]:
    pairs = groupby(zip(steps, results, strict=True), key=lambda pair: (pair[1].kind, pair[1].color))
    return [Series(kind, f"{kind} {color}".strip(), [step for step, _ in group]) for (kind, color), group in pairs]


def _caption(edit: ShownEdit, explanation: Explanation | None) -> Caption:
    word = explanation.analysis.word if explanation else None
    return mark_word(edit.prompt, edit.result.word, word.start if word else None)


def _asked(result: EditedImage) -> str:
    kind = f"{result.kind} {result.color}".strip()
    limit = clean(result.bound_by)[:80].replace("_", " ")
    if not result.is_edited:
        return f"Asked: {kind}, α = {result.alpha:g}. Nothing was edited{f': {limit}' if limit else ''}."
    allowed = f"{result.strength:.0%} of it, bound by {limit}" if limit else f"{result.strength:.0%} of it"
    return f"Asked: {kind}, α = {result.alpha:g}. Allowed: {allowed}."


def _source(edit: ShownEdit) -> str:
    result = edit.result
    share = f"{(result.edit_mask > 0).float().mean():.0%} of the image"
    if result.word:
        return f"Region: “{label(result.word)}”, {share}."
    reason = "the caption names nothing" if edit.prompt.strip() else "there is no caption"
    return f"Region: from the saliency map, {share}, because {reason}."


def _share(edit_mask: Tensor, before: Tensor, after: Tensor) -> str:
    shares = [float((one * edit_mask).sum() / one.sum().clamp(min=1e-12)) for one in (before, after)]
    return f"Share of the predicted saliency inside the region: {shares[0]:.1%} before, {shares[1]:.1%} after."


def _words(explanation: Explanation | None) -> list[dict[str, Any]]:
    if explanation is None:
        return []
    peaks = explanation.peaks
    return [
        {
            "text": label(word.text),
            "state": word.state,
            "cross_attention": to_map(word.cross_attention[None], peaks[0]),
            "overlap": to_map(word.overlap[None], peaks[1]),
            "score": "" if word.state == SKIPPED else f"{explanation.share(word):.2f}",
        }
        for word in explanation.words
    ]
