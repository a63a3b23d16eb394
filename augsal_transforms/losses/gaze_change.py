"""A loss on the change of gaze that an edit makes, for edits whose effect on gaze is known."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from augsal_transforms.losses.checks import UnitRange, check_maps, flatten_maps, spread_edited
from augsal_transforms.losses.editing import CLAMP, edited_items


class GazeChangeLoss(nn.Module):
    """(log g(S′_E) / g(S′) − log g(S_E) / g(S))², where g = Σ M S / Σ S is the region's share of a map.

    The model learns how much gaze the edited region gains or loses. Add it, weighted, to your own loss. Per item one
    square, summed over the edited items, divided by the batch size. A batch without an edit gives exactly 0, with
    gradients of 0. Shares below 1e-6 count as 1e-6.

    Note:
        Departs from Eq. 7, which takes the prediction of the original as the target: the model learns that an edit
        changes nothing. Here the target is the change between two maps that are known, so that both the direction and
        the size of a change can be learned. At weight 1, with a predictor's two maps as the known ones, networks follow
        the synthetic observer on edited scenes better than without edits: the correlation with the true change is 0.734
        instead of 0.685 (p = 4e-9, 16 seeds), and CC on unedited scenes is 0.007 higher
        (``benchmarks/edited_scenes.py``). On photographs it did not help (``benchmarks/edited_photographs.py``).
    """

    def __init__(self) -> None:
        super().__init__()
        self._check_range = UnitRange()

    def forward(
        self,
        prediction: Tensor,
        edited_prediction: Tensor,
        edit_mask: Tensor,
        saliency_map: Tensor,
        edited_saliency_map: Tensor,
        is_edited: Tensor | None = None,
    ) -> Tensor:
        """Scalar loss.

        Args:
            prediction: S′, the model's prediction for the originals, (B, 1, H, W) or (B, H, W), in [0, 1].
            edited_prediction: S′_E, the model's prediction for the edited images, shaped like ``prediction``, or with
                rows for the edited items alone, (E, …); in [0, 1].
            edit_mask: M, shaped like ``prediction`` or (E, …), in [0, 1]; resize it with the predictions.
            saliency_map: S, the known map of the originals, shaped like ``prediction``, in [0, 1]. Its scale does not
                matter.
            edited_saliency_map: S_E, the known map of the edited images, of the same source as ``saliency_map``: the
                map of an annotation pair, or a predictor's map beside the predictor's map of the original; or (E, …).
            is_edited: Whether each item is edited, (B,) bool; ``None`` takes the items whose mask is not empty. Rows of
                edited items alone need it.

        Raises:
            TypeError: If an argument is no tensor, or ``is_edited`` is not bool.
            ValueError: If shapes differ, or, at the first call with an edited item for a shape and dtype, if a value
                of an edited item is NaN or outside [0, 1]. Later calls check shapes alone.
        """
        of_edited = {
            "edited_prediction": edited_prediction,
            "edit_mask": edit_mask,
            "edited_saliency_map": edited_saliency_map,
        }
        edited_prediction, edit_mask, edited_saliency_map = spread_edited(prediction, is_edited, **of_edited)
        maps = {
            "edited_prediction": edited_prediction,
            "edit_mask": edit_mask,
            "saliency_map": saliency_map,
            "edited_saliency_map": edited_saliency_map,
        }
        check_maps(prediction, **maps)
        chosen = edited_items(edit_mask, is_edited).to(prediction.device)
        for name, values in {"prediction": prediction, **maps}.items():
            self._check_range(name, values, chosen)
        with torch.autocast(prediction.device.type, enabled=False):
            # Unedited items leave before any arithmetic: their values, NaN even, reach neither loss nor gradient.
            before, after, mask, known_before, known_after = (
                torch.where(chosen[:, None], flatten_maps(x), 1) for x in (prediction, *maps.values())
            )
            predicted = _log_share(after, mask) - _log_share(before, mask)
            known = _log_share(known_after, mask) - _log_share(known_before, mask)
            return torch.where(chosen, (predicted - known).square(), 0).sum() / len(prediction)


def _log_share(maps: Tensor, mask: Tensor) -> Tensor:
    """Logarithm of the region's share, Σ M S / Σ S, of flattened maps (B, pixels); returns (B,)."""
    share = (mask * maps).sum(1) / maps.sum(1).clamp(min=CLAMP)
    return share.clamp(min=CLAMP).log()
