"""CC, KLD and the saliency loss (Eqs. 4–6).

These CC and KLD are for training: differentiable, 0 where undefined, in the precision of the maps, with an ε that this
precision can hold. Report those in ``metrics``: where a prediction is 0, its KLD is larger.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from augsal_transforms.losses.checks import UnitRange, check_maps, flatten_maps

EPSILON = 1e-7  # Eq. 5; the 2.2e-16 of the MIT code vanishes in single precision


def correlation_coefficient(prediction: Tensor, saliency_map: Tensor) -> Tensor:
    """CC (Eq. 6) per item, (B,), in [−1, 1]; 0 where either map is constant."""
    prediction, saliency_map = flatten_maps(prediction), flatten_maps(saliency_map)
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
        self._check_range = UnitRange()

    def forward(self, prediction: Tensor, saliency_map: Tensor) -> Tensor:
        """Scalar loss.

        Args:
            prediction: S′, (B, 1, H, W) or (B, H, W), in [0, 1].
            saliency_map: S, shaped like ``prediction``, in [0, 1].

        Raises:
            TypeError: If one is no tensor.
            ValueError: If the shapes differ, or, at the first call for a shape and dtype, if a value is NaN or outside
                [0, 1]. Later calls check shapes alone: predictions that leave the range later are not found.
        """
        check_maps(prediction, saliency_map=saliency_map)
        self._check_range("prediction", prediction)
        self._check_range("saliency_map", saliency_map)
        with torch.autocast(prediction.device.type, enabled=False):
            kld, cc = kl_divergence(prediction, saliency_map), correlation_coefficient(prediction, saliency_map)
            return (self.kld_weight * kld - self.cc_weight * cc).mean()


def _distribution(maps: Tensor) -> Tensor:
    flat = flatten_maps(maps).clamp(min=0)
    return flat / flat.sum(1, keepdim=True).clamp(min=EPSILON)
