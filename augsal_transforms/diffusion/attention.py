"""Record and steer the cross-attention of a U-Net, and leave it as it was found.

Both context managers wrap the processors of the cross-attention layers (``attn2``). The layer's own processor still
computes its output, so fused attention, LoRA and slicing go on working.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def cross_attention_layers(unet: nn.Module) -> dict[Any, int]:
    """The cross-attention layers of the down and up blocks, each with its depth: maps are latent / 2^depth.

    The middle block is left out: its maps are the coarsest, and the paper's injection skips it.

    Raises:
        RuntimeError: If the U-Net has no such layer.
    """
    layers: dict[Any, int] = {}
    for side in ("down_blocks", "up_blocks"):
        blocks = list(getattr(unet, side))
        for position, block in enumerate(blocks):
            depth = position if side == "down_blocks" else len(blocks) - 1 - position
            for name, module in block.named_modules():
                if name.endswith("attn2"):
                    layers[module] = depth
    if not layers:
        raise RuntimeError("This U-Net has no cross-attention layers (`attn2`), so no word can be found in a picture.")
    return layers


class CrossAttention:
    """The maps that ``record_cross_attention`` records.

    Attributes:
        layers: C of each layer, (B, h·w, tokens), float32, averaged over heads.
    """

    def __init__(self) -> None:
        self.layers: list[Tensor] = []

    def average(self, height: int, width: int) -> Tensor:
        """Mean over the layers, as (B, tokens, height, width)."""
        mean = torch.stack(self.layers).mean(dim=0)
        return mean.transpose(1, 2).reshape(len(mean), -1, height, width)


class _Recording:
    def __init__(self, processor: Callable[..., Tensor], record: CrossAttention) -> None:
        self.processor, self.record = processor, record

    def __call__(self, attn: Any, hidden: Tensor, encoder_hidden_states: Tensor, **kwargs: Any) -> Tensor:
        # On the side, in float32: the layer's output is the processor's own, to the bit.
        query = attn.head_to_batch_dim(attn.to_q(hidden), out_dim=4).float()
        key = attn.head_to_batch_dim(attn.to_k(encoder_hidden_states), out_dim=4).float()
        weights = (query @ key.transpose(-1, -2) * attn.scale).softmax(dim=-1)
        self.record.layers.append(weights.mean(dim=1))
        return self.processor(attn, hidden, encoder_hidden_states=encoder_hidden_states, **kwargs)


class _Injecting:
    def __init__(self, processor: Callable[..., Tensor], inserted: Tensor, weights: dict[int, Tensor]) -> None:
        self.processor, self.inserted, self.weights = processor, inserted, weights

    def __call__(self, attn: Any, hidden: Tensor, encoder_hidden_states: Tensor, **kwargs: Any) -> Tensor:
        output = self.processor(attn, hidden, encoder_hidden_states=encoder_hidden_states, **kwargs)
        value = attn.to_out[0](attn.to_v(self.inserted))
        return torch.lerp(output, value, self.weights[hidden.shape[1]].to(output.dtype))


@contextmanager
def _replaced_processors(layers: Mapping[Any, Callable[..., Tensor]]) -> Iterator[None]:
    originals = {layer: layer.processor for layer in layers}
    try:
        for layer, processor in layers.items():
            layer.set_processor(processor)
        yield
    finally:
        for layer, processor in originals.items():
            layer.set_processor(processor)


@contextmanager
def record_cross_attention(unet: nn.Module, depth: int) -> Iterator[CrossAttention]:
    """Record the cross-attention maps of the layers at latent / 2^depth during a forward pass.

    Args:
        unet: A diffusers ``UNet2DConditionModel``; its model's lock must be held.
        depth: 0 for maps of the latent's size, 1 for half of it, 2 for a quarter.

    Yields:
        A ``CrossAttention`` that fills as the U-Net runs.

    Raises:
        RuntimeError: If no cross-attention layer lies at that depth.
    """
    record = CrossAttention()
    layers = {
        layer: _Recording(layer.processor, record) for layer, at in cross_attention_layers(unet).items() if at == depth
    }
    if not layers:
        available = sorted(set(cross_attention_layers(unet).values()))
        raise RuntimeError(f"No cross-attention layer lies at latent / 2^{depth}; this U-Net has depths {available}.")
    with _replaced_processors(layers):
        yield record


@contextmanager
def inject_cross_attention(unet: nn.Module, inserted: Tensor, token_map: Tensor) -> Iterator[None]:
    """Insert a token into the prompt whose cross-attention map is the region (Sec. 4.1).

    The new token's column of the softmax is replaced by m and the row renormalised. Masking the token's
    own key and interpolating toward its value by m is the same thing without a division: the rest of
    the row then sums to 1 − m. Cross-attention does not see order, so with its key masked the token
    need not stand in the context at all. The output layer is affine, so interpolating after it is the
    same too. At m = 0 nothing changes, to the bit.

    Args:
        unet: A diffusers ``UNet2DConditionModel``; its model's lock must be held.
        inserted: The inserted token's embedding, (B, 1, D).
        token_map: m, (B, 1, h, w) at latent resolution, in [0, 1]; pooled to each layer's size.
    """
    layers = cross_attention_layers(unet)
    height, width = token_map.shape[-2:]
    weights = {}
    for depth in set(layers.values()):
        shape = (-(-height // 2**depth), -(-width // 2**depth))
        weights[shape[0] * shape[1]] = F.adaptive_avg_pool2d(token_map, shape).flatten(2).transpose(1, 2)
    with _replaced_processors({layer: _Injecting(layer.processor, inserted, weights) for layer in layers}):
        yield
