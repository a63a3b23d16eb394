"""A small saliency model, packed batches, and what the editing loss alone does to the gradient."""

import torch
from torch import nn

from augsal_transforms import MaskedEditingLoss


class Toy(nn.Module):
    """Images (B, 3, H, W) → maps (B, H, W) in [0, 1]."""

    def __init__(self, *middle):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), *middle, nn.Conv2d(6, 1, 3, padding=1), nn.Sigmoid())
        self.double()

    def forward(self, images):
        return self.net(images).squeeze(1)


def packed_batch(count=4, edited=(0, 2), size=(8, 10)):
    """Images (B, 7, H, W), those in ``edited`` with an edit."""
    generator = torch.Generator().manual_seed(1)
    packed = torch.rand(count, 7, *size, generator=generator, dtype=torch.float64)
    packed[[n for n in range(count) if n not in edited], 3:] = 0
    return packed


def apart(packed):
    """Original images, the batch with the edited ones swapped in, edit mask."""
    original, mask = packed[:, :3].contiguous(), packed[:, 6:].contiguous()
    return original, torch.where(mask.flatten(1).any(1)[:, None, None, None], packed[:, 3:6], original), mask


def gradient(model, loss):
    """The gradient of a loss, all parameters in one vector."""
    found = torch.autograd.grad(loss, list(model.parameters()))
    return torch.cat([part.flatten() for part in found])


def gradient_left(model):
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def editing_gradient(model, packed):
    """What autograd says of the editing loss of weight 1, without any hook."""
    original, edited, mask = apart(packed)
    random_state = torch.get_rng_state()
    prediction = model(original)
    torch.set_rng_state(random_state)
    loss = MaskedEditingLoss()(prediction, model(edited), mask[:, 0])
    return gradient(model, loss)
