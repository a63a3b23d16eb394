"""The loss of the readouts (Eq. 3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augsal_transforms.losses.checks import UnitRange


class ReadoutLoss(nn.Module):
    """Eq. 3: λ₁ ‖μ′_RGB − μ_RGB‖² + λ₂ (μ′_Br − μ_Br)² + λ (c′_L − c_L)² + λ₃ (c′_G − c_G)² + λ₄ CE(c′, c).

    Departs from Eq. 3: each distance is in units of the property's standard deviation, because contrasts vary by a
    third of what colours do and would hardly be trained beside them.

    Args:
        std: Standard deviations of the six properties, (6,), positive, as ``Calibration.std``; ones give Eq. 3 as
            printed.
        rgb_weight: λ₁, weight of the mean over the three channels.
        brightness_weight: λ₂.
        local_contrast_weight: λ; Eq. 3 prints none here, the released code has 0.1 for all.
        global_contrast_weight: λ₃.
        class_weight: λ₄; 0.5 in the released code.

    Raises:
        ValueError: If ``std`` is not six positive numbers.
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
        std = std.cpu()
        if std.shape != (6,) or not bool(((std > 0) & std.isfinite()).all()):
            raise ValueError(f"`std` must be six positive, finite numbers, got {std.tolist()}.")
        weights = [*[rgb_weight / 3] * 3, brightness_weight, local_contrast_weight, global_contrast_weight]
        self.weights: Tensor
        self.register_buffer("weights", torch.tensor(weights) / std.square())
        self.class_weight = class_weight
        self._check_range = UnitRange()
        self._classes_seen: set[tuple[torch.Size, torch.Size]] = set()

    def forward(self, predicted: Tensor, properties: Tensor, logits: Tensor, classes: Tensor) -> Tensor:
        """Scalar loss: the mean over areas, then over images.

        Args:
            predicted: Properties predicted by LLFR, (B, K, 6), in the order of ``PROPERTIES``.
            properties: Properties measured in the areas, (B, K, 6), in [0, 1]; the range is checked once per shape.
            logits: Output of HLFR, (B, N, classes).
            classes: Class of each object, (B, N) int64; −1 where there is no object. An image without an object
                adds nothing.

        Raises:
            ValueError: If shapes do not match, ``properties`` leave [0, 1], or a class is none of ``logits``.
        """
        if predicted.shape != properties.shape or logits.shape[:2] != classes.shape:
            raise ValueError(
                "`predicted` and `properties` must have one shape, `classes` that of `logits` without its last axis, "
                f"got {tuple(predicted.shape)}, {tuple(properties.shape)}, {tuple(classes.shape)}, "
                f"{tuple(logits.shape)}."
            )
        self._check_range("properties", properties)
        self._check_classes(logits, classes)
        with torch.autocast(predicted.device.type, enabled=False):
            distances = ((predicted.float() - properties).square() * self.weights).sum(-1).mean()
            entropy = F.cross_entropy(logits.float().movedim(-1, 1), classes, ignore_index=-1, reduction="none")
            per_image = entropy.sum(1) / (classes >= 0).sum(1).clamp(min=1)
            return distances + self.class_weight * per_image.mean()

    def _check_classes(self, logits: Tensor, classes: Tensor) -> None:
        """Once per shape: outside the range a GPU would stop the process without naming the argument."""
        if torch.compiler.is_compiling() or (logits.shape, classes.shape) in self._classes_seen or not classes.numel():
            return
        low, high = (bound.item() for bound in classes.aminmax())
        if classes.is_floating_point() or low < -1 or high >= logits.shape[-1]:
            raise ValueError(
                f"`classes` must be integers from −1 to {logits.shape[-1] - 1}, the classes of `logits`, got "
                f"{classes.dtype} in [{low}, {high}]."
            )
        self._classes_seen.add((logits.shape, classes.shape))
