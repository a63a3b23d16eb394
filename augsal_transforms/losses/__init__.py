"""The losses of Sec. 4.3: readouts (Eq. 3), saliency (Eqs. 4–6), editing (Eq. 7), and a wrapper around your own loss.

The caller runs the model, once on the originals and once on the edited images; no loss ever does.
Maps are (B, 1, H, W) or (B, H, W) in [0, 1]. Everything is computed in float32 or better.
"""

from augsal_transforms.losses.editing import AugmentedSaliencyLoss, MaskedEditingLoss, binary_cross_entropy
from augsal_transforms.losses.gaze_change import GazeChangeLoss
from augsal_transforms.losses.readout import ReadoutLoss
from augsal_transforms.losses.saliency import SaliencyLoss, correlation_coefficient, kl_divergence

__all__ = [
    "AugmentedSaliencyLoss",
    "GazeChangeLoss",
    "MaskedEditingLoss",
    "ReadoutLoss",
    "SaliencyLoss",
    "binary_cross_entropy",
    "correlation_coefficient",
    "kl_divergence",
]
