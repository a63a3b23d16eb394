"""Smooth pictures, maps with one blob, and one edit of each kind."""

import torch

from augsal_transforms import Brightness, Color, Contrast

EDITS = [Contrast(1.5), Brightness(0.15), Color("red", 0.5)]


def picture(height=96, width=128, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(3, 6, 8, generator=generator)
    image = torch.nn.functional.interpolate(small[None], (height, width), mode="bilinear")[0] * 0.8 + 0.1
    return (image * 255).round().to(torch.uint8) if dtype == torch.uint8 else image.to(dtype)


def blob(height=96, width=128, x=0.4, y=0.5):
    rows, columns = torch.linspace(0, 1, height)[:, None], torch.linspace(0, 1, width)[None]
    return torch.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 0.03)[None]
