"""A compact network that predicts gaze on photographs: EfficientNet-Lite0's encoder and a feature pyramid.

It is trained on photographs from end to end, unlike the readouts, which read a frozen diffusion model.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's RGB in [0, 1]
STEM = 32
# Kernel, stride, expansion, channels and repeats of each stage (Tan & Le, ICML 2019, without squeeze-and-excitation).
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
TAPS = {2: 24, 4: 40, 10: 112, 15: 320}  # the channels after a block, by its number: strides 4, 8, 16 and 32
WIDTH = 48  # channels of the pyramid
EPSILON = 1e-3  # of batch normalisation, as in the published weights


class SameConvolution(nn.Conv2d):
    """A convolution whose output has ceil(size / stride) pixels, padded as TensorFlow pads it."""

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, C, H, W) to (B, C′, ceil(H / stride), ceil(W / stride))."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        height, width = (max(0, ((size - 1) // stride) * stride + kernel - size) for size in x.shape[-2:])
        return super().forward(F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2)))


class Block(nn.Module):
    """An inverted residual block: expand the channels, filter each of them, project them."""

    def __init__(self, kernel: int, stride: int, expansion: int, channels_in: int, channels_out: int) -> None:
        super().__init__()
        wide = channels_in * expansion
        self.is_expanded, self.is_residual = expansion > 1, stride == 1 and channels_in == channels_out
        if self.is_expanded:
            self._expand_conv = nn.Conv2d(channels_in, wide, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(wide, eps=EPSILON)
        self._depthwise_conv = SameConvolution(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = nn.BatchNorm2d(wide, eps=EPSILON)
        self._project_conv = nn.Conv2d(wide, channels_out, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(channels_out, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, C, H, W) to (B, C′, ceil(H / stride), ceil(W / stride))."""
        wide = F.relu6(self._bn0(self._expand_conv(x))) if self.is_expanded else x
        filtered = F.relu6(self._bn1(self._depthwise_conv(wide)))
        projected: Tensor = self._bn2(self._project_conv(filtered))
        return x + projected if self.is_residual else projected


class Encoder(nn.Module):
    """EfficientNet-Lite0 up to its last block, with the parameter names under which its weights are published."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConvolution(3, STEM, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(STEM, eps=EPSILON)
        blocks, channels = [], STEM
        for kernel, stride, expansion, channels_out, repeats in STAGES:
            for repeat in range(repeats):
                blocks.append(Block(kernel, stride if repeat == 0 else 1, expansion, channels, channels_out))
                channels = channels_out
        self._blocks = nn.ModuleList(blocks)

    def load_published(self, weights: Mapping[str, Tensor]) -> None:
        """Load ImageNet weights; what is published beside them, such as the classifier, is left out.

        Args:
            weights: Tensors by published name.

        Raises:
            ValueError: If a tensor of the encoder is missing or has another shape.
        """
        own = self.state_dict()
        if wrong := [name for name in own if getattr(weights.get(name), "shape", None) != own[name].shape]:
            raise ValueError(
                f"`weights` must be those of EfficientNet-Lite0: {wrong[0]} must be {tuple(own[wrong[0]].shape)}, got "
                f"{tuple(weights[wrong[0]].shape) if wrong[0] in weights else 'none'}; {len(wrong)} of {len(own)} "
                "tensors do not fit."
            )
        self.load_state_dict({name: weights[name] for name in own})

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (B, 3, H, W), normalised by ``MEAN`` and ``STD``, to features at strides 4, 8, 16 and 32."""
        x = F.relu6(self._bn0(self._conv_stem(images)))
        features = []
        for number, block in enumerate(self._blocks):
            x = block(x)
            if number in TAPS:
                features.append(x)
        return features


class GazeNetwork(nn.Module):
    """Images to the log density of gaze, up to a constant of each image.

    The encoder's features are merged from coarse to fine (a feature pyramid); a Gaussian about the centre with learned
    widths is added, because people look at the centre of photographs more often.
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.laterals = nn.ModuleList(nn.Conv2d(channels, WIDTH, 1) for channels in TAPS.values())
        self.merges = nn.ModuleList(
            nn.Sequential(nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.GroupNorm(8, WIDTH), nn.SiLU()) for _ in TAPS
        )
        self.readout = nn.Sequential(nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.SiLU(), nn.Conv2d(WIDTH, 1, 1))
        self.log_width = nn.Parameter(torch.zeros(2))  # of the centre bias, (height, width), in half sides
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [0, 1] to log densities (B, 1, ceil(H / 4), ceil(W / 4)).

        Sides that are multiples of 32, as in the training, keep the features of all strides aligned.
        """
        *finer, coarsest = self.encoder((images - self.mean) / self.std)
        merged = self.merges[-1](self.laterals[-1](coarsest))
        for number, features in reversed(list(enumerate(finer))):
            upsampled = F.interpolate(merged, features.shape[-2:], mode="bilinear", align_corners=False)
            merged = self.merges[number](self.laterals[number](features) + upsampled)
        log_density: Tensor = self.readout(merged) + self._centre_bias(merged)
        return log_density

    def _centre_bias(self, like: Tensor) -> Tensor:
        y, x = (torch.linspace(-1, 1, size, device=like.device, dtype=like.dtype) for size in like.shape[-2:])
        height, width = self.log_width.exp()
        bias: Tensor = -((y[:, None] / height) ** 2 + (x[None, :] / width) ** 2) / 2
        return bias
