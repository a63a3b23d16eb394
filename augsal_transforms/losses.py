"""The losses of Sec. 4.3: readouts (Eq. 3), saliency (Eqs. 4–6), editing (Eq. 7), and a wrapper around your own loss.

The caller runs the model, once on the originals and once on the edited images; no loss ever does.
Maps are (B, 1, H, W) or (B, H, W) in [0, 1]. Everything is computed in float32 or better.

CC and KLD here are to be trained with, those of ``metrics`` to be reported: a gradient everywhere and 0 where the
metric is undefined, the maps' own precision and an ε that it can hold, for which KLD is smaller where a prediction
is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-7  # Eq. 5; the 2.2e-16 of the MIT code vanishes in single precision
CLAMP = 1e-6  # inside logarithms


def correlation_coefficient(prediction: Tensor, saliency_map: Tensor) -> Tensor:
    """CC (Eq. 6) per item, (B,), in [−1, 1]; 0 where either map is constant."""
    prediction, saliency_map = _flat(prediction), _flat(saliency_map)
    centred = prediction - prediction.mean(1, keepdim=True)
    centred_map = saliency_map - saliency_map.mean(1, keepdim=True)
    norm = (centred.square().sum(1) * centred_map.square().sum(1)).clamp(min=1e-16).sqrt()
    return (centred * centred_map).sum(1) / norm


def kl_divergence(prediction: Tensor, saliency_map: Tensor) -> Tensor:
    """KLD (Eq. 5) per item, (B,), of maps scaled to a sum of 1; 0 where the saliency map is empty."""
    prediction, saliency_map = _distribution(prediction), _distribution(saliency_map)
    return (saliency_map * (EPSILON + saliency_map / (EPSILON + prediction)).log()).sum(1)


class SaliencyLoss(nn.Module):
    """λ₆ KLD − λ₅ CC, mean over the batch (Eq. 4).

    Note:
        Eq. 4 adds CC, which would train models away from the map; as in the released code it is
        subtracted here. Items with an empty saliency map have no target: they add 0.

    Args:
        cc_weight: λ₅; 0.2 in the released code.
        kld_weight: λ₆; 0.2 in the released code.
    """

    def __init__(self, cc_weight: float = 0.2, kld_weight: float = 0.2) -> None:
        super().__init__()
        self.cc_weight, self.kld_weight = cc_weight, kld_weight

    def forward(self, prediction: Tensor, saliency_map: Tensor) -> Tensor:
        """Scalar loss of ``prediction`` S′ against ``saliency_map`` S, both (B, 1, H, W) or (B, H, W).

        Raises:
            ValueError: If the shapes differ.
        """
        _check_shapes(prediction, saliency_map=saliency_map)
        with torch.autocast(prediction.device.type, enabled=False):
            kld, cc = kl_divergence(prediction, saliency_map), correlation_coefficient(prediction, saliency_map)
            return (self.kld_weight * kld - self.cc_weight * cc).mean()


class ReadoutLoss(nn.Module):
    """Eq. 3: λ₁ ‖μ′_RGB − μ_RGB‖² + λ₂ (μ′_Br − μ_Br)² + λ (c′_L − c_L)² + λ₃ (c′_G − c_G)² + λ₄ CE(c′, c).

    Departs from Eq. 3: each distance is in units of the property's standard deviation, because contrasts
    vary by a third of what colours do and would hardly be trained beside them.

    Args:
        std: (6,), as ``Calibration.std``; ones give Eq. 3 as printed.
        rgb_weight: λ₁, of the mean over the three channels.
        brightness_weight: λ₂.
        local_contrast_weight: Eq. 3 prints no λ here; the released code has 0.1 for all.
        global_contrast_weight: λ₃.
        class_weight: λ₄; 0.5 in the released code.
    """

    def __init__(
        self,
        std: Tensor,
        *,
        rgb_weight: float = 0.1,
        brightness_weight: float = 0.1,
        local_contrast_weight: float = 0.1,
        global_contrast_weight: float = 0.1,
        class_weight: float = 0.5,
    ) -> None:
        super().__init__()
        others = [brightness_weight, local_contrast_weight, global_contrast_weight]
        self.weights: Tensor
        self.register_buffer("weights", torch.tensor([rgb_weight / 3] * 3 + others) / std.cpu().square())
        self.class_weight = class_weight

    def forward(self, predicted: Tensor, properties: Tensor, logits: Tensor, classes: Tensor) -> Tensor:
        """Scalar loss: the mean over areas, then over images.

        Args:
            predicted: LLFR's output, (B, K, 6), in the order of ``PROPERTIES``.
            properties: What the areas measure, likewise.
            logits: HLFR's output, (B, N, classes).
            classes: (B, N) int64; −1 where there is no object. An image without one adds nothing.

        Raises:
            ValueError: If shapes do not match.
        """
        if predicted.shape != properties.shape or logits.shape[:2] != classes.shape:
            raise ValueError(
                "`predicted` and `properties` must have one shape, `classes` that of `logits` without its last axis, "
                f"got {tuple(predicted.shape)}, {tuple(properties.shape)}, {tuple(classes.shape)}, "
                f"{tuple(logits.shape)}."
            )
        with torch.autocast(predicted.device.type, enabled=False):
            distances = ((predicted.float() - properties).square() * self.weights).sum(-1).mean()
            entropy = F.cross_entropy(logits.float().movedim(-1, 1), classes, ignore_index=-1, reduction="none")
            per_image = entropy.sum(1) / (classes >= 0).sum(1).clamp(min=1)
            return distances + self.class_weight * per_image.mean()


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
        detach: Which prediction is the constant: ``"original"`` (S′ is the target), ``"edited"``,
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

    def extra_repr(self) -> str:
        """Shown by ``print``."""
        return f"form={self.form!r}, detach={self.detach!r}"

    def forward(
        self, prediction: Tensor, edited_prediction: Tensor, edit_mask: Tensor, is_edited: Tensor | None = None
    ) -> Tensor:
        """Scalar editing loss.

        Args:
            prediction: S′, the model on the originals, (B, 1, H, W) or (B, H, W), in [0, 1].
            edited_prediction: S′_E, the model on the edited images, likewise.
            edit_mask: M, likewise; resize it with the predictions.
            is_edited: (B,) bool; ``None`` takes the items whose mask is not empty.

        Raises:
            ValueError: If shapes differ.
        """
        _check_shapes(prediction, edited_prediction=edited_prediction, edit_mask=edit_mask)
        if is_edited is None:
            is_edited = edit_mask.flatten(1).gt(0).any(1)
        if is_edited.shape != prediction.shape[:1]:
            raise ValueError(f"`is_edited` must have shape ({len(prediction)},), got {tuple(is_edited.shape)}.")
        original = prediction.detach() if self.detach == "original" else prediction
        edited = edited_prediction.detach() if self.detach == "edited" else edited_prediction
        with torch.autocast(prediction.device.type, enabled=False):
            chosen = is_edited.to(prediction.device)[:, None]
            # Unedited items leave before any arithmetic: their values, NaN even, reach neither loss nor gradient.
            original, edited, mask = (torch.where(chosen, _flat(x), 0) for x in (original, edited, edit_mask))
            per_item = self._per_pixel(original, edited, mask).mean(1)
            return torch.where(chosen[:, 0], per_item, 0).sum() / len(prediction)

    def _per_pixel(self, original: Tensor, edited: Tensor, mask: Tensor) -> Tensor:
        if self.form == "bce":
            return binary_cross_entropy(mask * original, mask * edited)
        if self.form == "rank":
            return (mask * (original - edited)).clamp(min=0)
        peak = mask.amax(1, keepdim=True).clamp(min=CLAMP)
        hard = (mask / peak > 0.5).to(mask.dtype)
        return binary_cross_entropy(hard, ((hard * (edited - original)).sigmoid() - 0.5).abs())


class AugmentedSaliencyLoss(nn.Module):
    """One's own saliency loss plus the editing loss (Sec. 5.3).

    Args:
        base: ``base(prediction, saliency_map)`` → scalar; the loss one trusts.
        editing_weight: Weight of the editing loss; 0.1 in the released code, beside 0.2 (KLD − CC).
        supervise: ``"all"`` applies ``base`` to every item, as the released code does; ``"unedited"``
            trains an edited sample with the editing loss alone, as the paper says.
        editing: The editing loss; ``None`` is ``MaskedEditingLoss()``.
    """

    def __init__(
        self,
        base: Callable[[Tensor, Tensor], Tensor],
        editing_weight: float = 0.1,
        supervise: Literal["all", "unedited"] = "all",
        editing: MaskedEditingLoss | None = None,
    ) -> None:
        super().__init__()
        if supervise not in ("all", "unedited"):
            raise ValueError(f"`supervise` must be 'all' or 'unedited', got {supervise!r}.")
        if not 0 <= editing_weight < float("inf"):
            raise ValueError(f"`editing_weight` must be 0 or more and finite, got {editing_weight!r}.")
        self.base, self.editing_weight, self.supervise = base, editing_weight, supervise
        self.editing = editing or MaskedEditingLoss()

    def extra_repr(self) -> str:
        """Shown by ``print``."""
        return f"editing_weight={self.editing_weight}, supervise={self.supervise!r}"

    def forward(
        self,
        prediction: Tensor,
        saliency_map: Tensor,
        edited_prediction: Tensor,
        edit_mask: Tensor,
        is_edited: Tensor | None = None,
    ) -> Tensor:
        """Scalar loss; arguments as in ``MaskedEditingLoss``, ``saliency_map`` as ``base`` takes it."""
        editing: Tensor = self.editing(prediction, edited_prediction, edit_mask, is_edited)
        return self._base(prediction, saliency_map, edit_mask, is_edited) + self.editing_weight * editing

    def _base(self, prediction: Tensor, saliency_map: Tensor, edit_mask: Tensor, is_edited: Tensor | None) -> Tensor:
        loss: Tensor
        if self.supervise == "all":
            loss = self.base(prediction, saliency_map)
            return loss
        if is_edited is None:
            is_edited = edit_mask.flatten(1).gt(0).any(1)
        kept = ~is_edited.to(prediction.device)
        if not kept.any():
            return prediction.sum() * 0  # still part of the graph: DDP waits for every gradient
        loss = self.base(prediction[kept], saliency_map[kept])
        return loss * kept.float().mean()


def _flat(field: Tensor) -> Tensor:
    """(B, …) → (B, pixels), float32 or better."""
    return field.flatten(1).to(torch.promote_types(field.dtype, torch.float32))


def _distribution(field: Tensor) -> Tensor:
    flat = _flat(field)
    return flat / flat.sum(1, keepdim=True).clamp(min=EPSILON)


def _check_shapes(prediction: Tensor, **others: Tensor) -> None:
    if prediction.ndim not in (3, 4):
        raise ValueError(f"`prediction` must be (B, 1, H, W) or (B, H, W), got {tuple(prediction.shape)}.")
    for name, other in others.items():
        if other.shape != prediction.shape:
            raise ValueError(
                f"`{name}` must be shaped like `prediction`, {tuple(prediction.shape)}, got {tuple(other.shape)}. "
                "Resize one to the other; SaliencyMap and EditMask follow `v2.Resize`."
            )
