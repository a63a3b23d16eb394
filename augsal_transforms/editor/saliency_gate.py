"""Predicted saliency as a gate of edits: an edit counts where the edited region gains predicted gaze (Sec. 1).

S′ and S′_E are a predictor's maps before and after an edit, as densities; M is the edit mask. The region's share of
gaze is g = Σ M S′ / Σ S′, and an edit's rise is log g_E − log g.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from itertools import cycle, islice
from numbers import Real
from typing import Literal

import torch
from torch import Tensor

from augsal_transforms.editor.kinds import Edit
from augsal_transforms.editor.results import EditedImage, ImageAnalysis, Trial, not_raised, unedited
from augsal_transforms.randomness import check_integer
from augsal_transforms.readouts.contract import PredictsSaliency, check_predictor, predict_maps

MOST_TRIES = 64
_SMALLEST = 1e-9  # of a share; a region of which a predictor says nothing has no logarithm

Make = Callable[[list[tuple[ImageAnalysis, Edit]]], list[EditedImage]]


def gaze_share(saliency_map: Tensor, edit_mask: Tensor) -> Tensor:
    """The region's share of gaze, g = Σ M S′ / Σ S′, (…), in [0, 1]; 0 where the map is empty.

    Args:
        saliency_map: S′, (…, H, W), 0 or more, of any scale.
        edit_mask: M, shaped like ``saliency_map``, in [0, 1].
    """
    total = saliency_map.sum((-2, -1))
    return (saliency_map * edit_mask).sum((-2, -1)) / torch.where(total > 0, total, 1)


def gaze_rise(before: Tensor, after: Tensor) -> Tensor:
    """The rise of a region's share of gaze, log g_E − log g, of two shares; 0.01 is about 1 %."""
    return after.clamp(min=_SMALLEST).log() - before.clamp(min=_SMALLEST).log()


@dataclass(frozen=True)
class SaliencyGate:
    """Lets an edit count only where a predictor says that the region gained gaze.

    Several candidates are tried for an image, and they share its analysis. An image on which no candidate passes is
    kept unedited.

    Attributes:
        predictor: A ``SaliencyPredictor``, or any object with a method ``predict(images)`` that returns a map (1, H, W)
            for each image.
        choose: ``"first"`` takes the first candidate that passes, and tries no other; ``"most"`` tries all and takes
            the one that raises the share most.
        margin: The rise, log g_E − log g, that a candidate must exceed, 0 or more.
        tries: Number of candidates that are drawn, from 1 to 64: the edits of an image in turn, each with its range of
            α and its colours, and each once at least. Equal draws are tried once.
    """

    predictor: PredictsSaliency = field(repr=False)
    _: KW_ONLY
    choose: Literal["first", "most"] = "first"
    margin: float = 0.0
    tries: int = 4

    def __post_init__(self) -> None:
        check_predictor(self.predictor)
        if self.choose not in ("first", "most"):
            raise ValueError(f"`choose` must be 'first' or 'most', got {self.choose!r}.")
        if isinstance(self.margin, bool) or not isinstance(self.margin, Real):
            raise TypeError(f"`margin` must be a number, got {self.margin!r}.")
        if not 0 <= self.margin < math.inf:
            raise ValueError(f"`margin` must be 0 or more and finite, got {self.margin!r}.")
        if not 1 <= check_integer("tries", self.tries, low=1) <= MOST_TRIES:
            raise ValueError(f"`tries` must be at most {MOST_TRIES}, got {self.tries}.")

    def draw_candidates(self, edits: Sequence[Edit], generator: torch.Generator) -> list[Edit]:
        """Candidates drawn from the edits of an image, in turn; equal ones are left out.

        Args:
            edits: Edits with their ranges, one or more.
            generator: Generator of the draws.
        """
        turns = islice(cycle(edits), max(self.tries, len(edits)))
        return list(dict.fromkeys(edit.draw(generator) for edit in turns))

    def select(
        self, make: Make, analyses: Sequence[ImageAnalysis], edits: Sequence[Sequence[Edit]]
    ) -> list[EditedImage]:
        """Make candidates and judge them; all images go through the editor and the predictor together.

        Args:
            make: Makes the edits of analysed images.
            analyses: An analysis for each result; one analysis may stand for several results.
            edits: The edits that the candidates of each result are drawn from.

        Returns:
            For each analysis its chosen edit with what was tried, or its image unedited.

        Raises:
            TypeError: If the predictor returns something other than maps.
            ValueError: If the number, a shape or a value of its maps is wrong.
        """
        candidates = [self.draw_candidates(some, a.draws) for a, some in zip(analyses, edits, strict=True)]
        before = self._shares_before(analyses)
        best: list[EditedImage | None] = [None] * len(analyses)
        tried: list[list[Trial]] = [[] for _ in analyses]
        waiting = [n for n, analysis in enumerate(analyses) if not analysis.is_empty]
        longest = max((len(candidates[n]) for n in waiting), default=0)
        for turns in [[k] for k in range(longest)] if self.choose == "first" else [range(longest)]:
            places = [(n, candidates[n][k]) for n in waiting for k in turns if k < len(candidates[n])]
            results = make([(analyses[n], edit) for n, edit in places])
            after = self._shares([result.image for result in results], [analyses[n].edit_mask for n, _ in places])
            for (n, _), result, share in zip(places, results, after, strict=True):
                rise = gaze_rise(before[id(analyses[n])], share).item()
                tried[n].append(Trial.of(result, rise))
                chosen = best[n]
                if rise > self.margin and (chosen is None or rise > (chosen.rise or 0.0)):
                    best[n] = replace(result, rise=rise)
            if self.choose == "first":
                waiting = [n for n in waiting if best[n] is None]
        return [_outcome(analyses[n], candidates[n][0], best[n], tuple(tried[n])) for n in range(len(analyses))]

    def _shares_before(self, analyses: Sequence[ImageAnalysis]) -> dict[int, Tensor]:
        """The share of gaze before any edit, by the ``id`` of the analysis: each image is predicted once."""
        single = {id(analysis): analysis for analysis in analyses if not analysis.is_empty}
        images = [analysis.source.image for analysis in single.values()]
        masks = [analysis.edit_mask for analysis in single.values()]
        return dict(zip(single, self._shares(images, masks), strict=True))

    def _shares(self, images: list[Tensor], edit_masks: list[Tensor]) -> list[Tensor]:
        """The share of gaze inside the mask of each image."""
        maps = predict_maps(self.predictor, images) if images else []
        pairs = zip(maps, edit_masks, strict=True)
        return [gaze_share(saliency_map.cpu().double(), mask.cpu().double())[0] for saliency_map, mask in pairs]


def _outcome(analysis: ImageAnalysis, first: Edit, best: EditedImage | None, tried: tuple[Trial, ...]) -> EditedImage:
    if best is not None:
        return replace(best, tried=tried)
    return not_raised(analysis, first, tried) if tried else unedited(analysis, first)
