"""The steps that find a region (Fig. 3): C of every word, C × S, and the word that Eq. 8 selects."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from augsal_transforms.diffusion.prompts import find_words
from augsal_transforms.editor.editor import SaliencyEditor
from augsal_transforms.editor.region import average_tokens
from augsal_transforms.editor.results import ImageAnalysis

_SIDE = 96  # pixels of the longer side of a word's maps
SELECTED, CONSIDERED, SKIPPED = "selected", "considered", "skipped"


@dataclass(frozen=True)
class ExplainedWord:
    """A word of a caption with its maps.

    Attributes:
        text: The word.
        start: Index of its first character in the caption.
        state: ``"selected"``, ``"considered"``, or ``"skipped"`` for a word that names no thing, such as "the".
        cross_attention: C of the word over the image, (h, w), 0 or more.
        overlap: C × S, (h, w).
        score: ⟨C, S⟩ of Eq. 8, the sum of C × S over the cells of the model's grid.
    """

    text: str
    start: int
    state: str
    cross_attention: Tensor
    overlap: Tensor
    score: float


@dataclass(frozen=True)
class Explanation:
    """The steps that found the region of an image.

    Attributes:
        analysis: The analysis of the image.
        words: The words that the model reads, in the caption's order.
        cut_off: Number of words beyond the model's context.
    """

    analysis: ImageAnalysis
    words: list[ExplainedWord]
    cut_off: int

    @property
    def peaks(self) -> tuple[float, float]:
        """The largest value of C and of C × S over the words that were considered."""
        considered = [word for word in self.words if word.state != SKIPPED] or self.words
        maps = [(float(word.cross_attention.max()), float(word.overlap.max())) for word in considered]
        return max((c for c, _ in maps), default=0.0), max((o for _, o in maps), default=0.0)

    def share(self, word: ExplainedWord) -> float:
        """The score of a word as a share of the largest one that was considered."""
        largest = max((one.score for one in self.words if one.state != SKIPPED), default=0.0)
        return word.score / largest if largest > 0 else 0.0

    @property
    def summary(self) -> str:
        """The outcome in a sentence."""
        selected = next((word for word in self.words if word.state == SELECTED), None)
        if self.analysis.word is None:
            reason = "The caption names nothing" if self.analysis.source.prompt.strip() else "There is no caption"
            return f"{reason}, so the region is the saliency map."
        if selected is None or self.analysis.is_empty:
            return "No word's attention meets the saliency map, so there is no region."
        return f"The region is that of “{selected.text}”, whose attention meets the saliency map most."


def explain(editor: SaliencyEditor, analysis: ImageAnalysis) -> Explanation:
    """Explain the region of an image that this editor analysed."""
    prompt, attention = analysis.source.prompt, analysis.cross_attention
    words = editor.model.locate_words(prompt, keep_stopwords=True)
    candidates = {word.start for word in editor.model.locate_words(prompt, keep_stopwords=editor.config.keep_stopwords)}
    per_word = average_tokens(attention[None], [[word.tokens for word in words]])[0]
    overlap = per_word * analysis.source.fit_saliency_map(attention)
    explained = [
        ExplainedWord(
            text=word.text,
            start=word.start,
            state=_state(word.start, analysis, candidates, float(overlap[n].sum())),
            cross_attention=_over_image(per_word[n], analysis),
            overlap=_over_image(overlap[n], analysis),
            score=float(overlap[n].sum()),
        )
        for n, word in enumerate(words)
    ]
    return Explanation(analysis, explained, len(find_words(prompt)) - len(words))


def _state(start: int, analysis: ImageAnalysis, candidates: set[int], score: float) -> str:
    if start not in candidates:
        return SKIPPED
    return SELECTED if analysis.word and start == analysis.word.start and score > 0 else CONSIDERED


def _over_image(values: Tensor, analysis: ImageAnalysis) -> Tensor:
    """A map (h, w) over the model's grid, without the cells that lie in the padding, on the CPU."""
    letterbox = analysis.source.letterbox
    whole = F.interpolate(values[None, None].float(), letterbox.outer, mode="nearest")
    inside = whole[:, :, : letterbox.inner[0], : letterbox.inner[1]]
    scale = min(1.0, _SIDE / max(letterbox.inner))
    height, width = (max(1, round(length * scale)) for length in letterbox.inner)
    return F.interpolate(inside, (height, width), mode="nearest")[0, 0].cpu()
