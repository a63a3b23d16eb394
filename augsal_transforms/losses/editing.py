"""The editing loss (Eq. 7), and the wrapper that adds it to your own saliency loss (Sec. 5.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from augsal_transforms.losses.checks import UnitRange, check_maps, flatten_maps, spread_edited

CLAMP = 1e-6  # inside logarithms


def binary_cross_entropy(target: Tensor, prediction: Tensor) -> Tensor:
    """−t log p − (1 − t) log(1 − p) per pixel, with p clamped inside the logarithms only."""
    log_p, log_rest = prediction.clamp(min=CLAMP).log(), (1 - prediction).clamp(min=CLAMP).log()
    return -(target * log_p + (1 - target) * log_rest)


class MaskedEditingLoss(nn.Module):
    """BCE(M S′, M S′_E): inside the region an edit must not cost the model its prediction (Eq. 7).

    Per item the mean over pixels, summed over the edited items, divided by the batch size. A batch
    without an edit gives exactly 0, with gradients of 0.

    Args:
        form: ``"bce"`` is Eq. 7. ``"released"`` is what the released code computes: the distance of
            σ(M (S′_E − S′)) from 1/2 against the mask, the same for a rise as for a fall. ``"rank"`` is
            max(0, M (S′ − S′_E)): it penalises only a fall, the direction that upward edits exclude.
        detach: The prediction that is held constant: ``"original"`` (S′ is the target), ``"edited"``,
            or ``"none"``.
    """

    def __init__(
        self,
        form: Literal["bce", "released", "rank"] = "bce",
        detach: Literal["original", "edited", "none"] = "original",
    ) -> None:
        super().__init__()
        if form not in ("bce", "released", "rank"):
            raise ValueError(f"`form` must be 'bce', 'released' or 'rank', got {form!r}.")
        if detach not in ("original", "edited", "none"):
            raise ValueError(f"`detach` must be 'original', 'edited' or 'none', got {detach!r}.")
        self.form, self.detach = form, detach
        self._check_range = UnitRange()

    def extra_repr(self) -> str:
        """The arguments, for ``print``."""
        return f"form={self.form!r}, detach={self.detach!r}"

    def forward(
        self, prediction: Tensor, edited_prediction: Tensor, edit_mask: Tensor, is_edited: Tensor | None = None
    ) -> Tensor:
        """Scalar editing loss.

        Args:
            prediction: S′, the model's prediction for the originals, (B, 1, H, W) or (B, H, W), in [0, 1].
            edited_prediction: S′_E, the model's prediction for the edited images, shaped like ``prediction``, or with
                rows for the edited items alone, (E, …); in [0, 1].
            edit_mask: M, shaped like ``prediction`` or (E, …), in [0, 1]; resize it with the predictions.
            is_edited: Whether each item is edited, (B,) bool; ``None`` takes the items whose mask is not empty. Rows of
                edited items alone need it.

        Raises:
            TypeError: If an argument is no tensor, or ``is_edited`` is not bool.
            ValueError: If shapes differ, or, at the first call with an edited item for a shape and dtype, if a value
                of an edited item is NaN or outside [0, 1]. Later calls check shapes alone, so that they do not wait
                for the device: predictions that leave the range later are not found. Rows of edited items alone are
                put in their places by ``is_edited``, for which it is best left on the CPU.
        """
        edited_prediction, edit_mask = spread_edited(
            prediction, is_edited, edited_prediction=edited_prediction, edit_mask=edit_mask
        )
        check_maps(prediction, edited_prediction=edited_prediction, edit_mask=edit_mask)
        is_edited = edited_items(edit_mask, is_edited).to(prediction.device)
        self._check_range("prediction", prediction, is_edited)
        self._check_range("edited_prediction", edited_prediction, is_edited)
        self._check_range("edit_mask", edit_mask, is_edited)
        original = prediction.detach() if self.detach == "original" else prediction
        edited = edited_prediction.detach() if self.detach == "edited" else edited_prediction
        with torch.autocast(prediction.device.type, enabled=False):
            chosen = is_edited[:, None]
            # Unedited items leave before any arithmetic: their values, NaN even, reach neither loss nor gradient.
            original, edited, mask = (torch.where(chosen, flatten_maps(x), 0) for x in (original, edited, edit_mask))
            per_item = self._per_pixel(original, edited, mask).mean(1)
            return torch.where(is_edited, per_item, 0).sum() / len(prediction)

    def _per_pixel(self, original: Tensor, edited: Tensor, mask: Tensor) -> Tensor:
        if self.form == "bce":
            return binary_cross_entropy(mask * original, mask * edited)
        if self.form == "rank":
            return (mask * (original - edited)).clamp(min=0)
        peak = mask.amax(1, keepdim=True).clamp(min=CLAMP)
        hard = (mask / peak > 0.5).to(mask.dtype)
        return binary_cross_entropy(hard, ((hard * (edited - original)).sigmoid() - 0.5).abs())


class AugmentedSaliencyLoss(nn.Module):
    """Your own saliency loss plus the editing loss (Sec. 5.3).

    Args:
        base: Your loss, ``base(prediction, saliency_map)`` → scalar.
        editing_weight: Weight of the editing loss; 0.1 in the released code, beside 0.2 (KLD − CC).
        supervise: ``"all"`` applies ``base`` to every item, as the released code does; ``"unedited"``
            trains an edited sample with the editing loss alone, as the paper says.
        editing: The editing loss; ``None`` is ``MaskedEditingLoss()``.
        pair_weight: Weight of ``base`` on annotation pairs, the edited predictions with maps of their own (Sec. 1);
            it counts where ``edited_saliency_map`` is given.
    """

    def __init__(
        self,
        base: Callable[[Tensor, Tensor], Tensor],
        editing_weight: float = 0.1,
        supervise: Literal["all", "unedited"] = "all",
        editing: MaskedEditingLoss | None = None,
        pair_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if not callable(base) or isinstance(base, type):
            got = f"the class {base.__name__}; make an object of it" if isinstance(base, type) else type(base).__name__
            raise TypeError(f"`base` must be a loss, base(prediction, saliency_map), got {got}.")
        if supervise not in ("all", "unedited"):
            raise ValueError(f"`supervise` must be 'all' or 'unedited', got {supervise!r}.")
        for name, weight in (("editing_weight", editing_weight), ("pair_weight", pair_weight)):
            if not 0 <= weight < float("inf"):
                raise ValueError(f"`{name}` must be 0 or more and finite, got {weight!r}.")
        self.base, self.editing_weight, self.supervise, self.pair_weight = base, editing_weight, supervise, pair_weight
        self.editing = editing or MaskedEditingLoss()

    def extra_repr(self) -> str:
        """The arguments, for ``print``."""
        return f"editing_weight={self.editing_weight}, supervise={self.supervise!r}, pair_weight={self.pair_weight}"

    def forward(
        self,
        prediction: Tensor,
        saliency_map: Tensor,
        edited_prediction: Tensor,
        edit_mask: Tensor,
        is_edited: Tensor | None = None,
        edited_saliency_map: Tensor | None = None,
    ) -> Tensor:
        """Scalar loss; arguments and errors as in ``MaskedEditingLoss``, the maps as ``base`` takes them.

        With ``edited_saliency_map`` (a sample has one with ``pairs=True``) ``base`` supervises the edited predictions
        of edited items too, times ``pair_weight``.
        """
        edited_prediction, edit_mask, edited_saliency_map = spread_edited(
            prediction,
            is_edited,
            edited_prediction=edited_prediction,
            edit_mask=edit_mask,
            edited_saliency_map=edited_saliency_map,
        )
        editing: Tensor = self.editing(prediction, edited_prediction, edit_mask, is_edited)
        loss = self._base(prediction, saliency_map, edit_mask, is_edited) + self.editing_weight * editing
        if edited_saliency_map is None:
            return loss
        pairs = self._supervise(edited_prediction, edited_saliency_map, edited_items(edit_mask, is_edited))
        return loss + self.pair_weight * pairs

    def _base(self, prediction: Tensor, saliency_map: Tensor, edit_mask: Tensor, is_edited: Tensor | None) -> Tensor:
        if self.supervise == "all":
            return self._apply_base(prediction, saliency_map)
        return self._supervise(prediction, saliency_map, ~edited_items(edit_mask, is_edited))

    def _supervise(self, prediction: Tensor, saliency_map: Tensor, chosen: Tensor) -> Tensor:
        """``base`` on some items, (B,) bool, as their share of a batch's mean."""
        chosen = chosen.to(prediction.device)
        if not chosen.any():
            return prediction.sum() * 0  # still part of the graph: DDP waits for every gradient
        return self._apply_base(prediction[chosen], saliency_map[chosen]) * chosen.float().mean()

    def _apply_base(self, prediction: Tensor, saliency_map: Tensor) -> Tensor:
        loss = self.base(prediction, saliency_map)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            got = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise TypeError(f"`base` must return a scalar tensor, got {got}. Average it over pixels and images.")
        return loss


def edited_items(edit_mask: Tensor, is_edited: Tensor | None) -> Tensor:
    """Whether each item is edited, (B,) bool."""
    if is_edited is None:
        return edit_mask.flatten(1).ne(0).any(1)
    if not isinstance(is_edited, Tensor) or is_edited.dtype != torch.bool:
        kind = is_edited.dtype if isinstance(is_edited, Tensor) else type(is_edited).__name__
        raise TypeError(f"`is_edited` must be a bool tensor, got {kind}.")
    if is_edited.shape != edit_mask.shape[:1]:
        raise ValueError(f"`is_edited` must have shape ({len(edit_mask)},), got {tuple(is_edited.shape)}.")
    return is_edited
