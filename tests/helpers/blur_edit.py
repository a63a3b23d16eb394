"""A kind of edit that the package does not have, as a user would define it: one class."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from augsal_transforms.editor.edits import Edit


@dataclass(frozen=True)
class Blur(Edit):
    """Blend the latent inside the region with its 3×3 mean by a share α."""

    kind = "blur"
    identity = 0.0
    alpha_range = (0.0, 1.0)
    alpha_span = 1.0

    alpha: float | tuple[float, float] = (0.5, 1.0)

    def edit_latent(self, latent, latent_mask, properties, calibration, config):
        blurred = F.avg_pool2d(F.pad(latent, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        return torch.lerp(latent, blurred, self.alpha_value * latent_mask)
