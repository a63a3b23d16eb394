"""The editing loss, hung on a model from outside: a loop that knows nothing of it trains with it.

In training the model also sees the edited images, and the editing loss (Eq. 7) is tied to the prediction it
returns: the prediction is unchanged, and whoever calls ``backward`` on a loss of it also gets the gradient
of the editing loss. Forward hooks, not a wrapper: the model's type, attributes and state_dict stay.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from augsal_transforms.adapters._dataset import CHANNELS, resize
from augsal_transforms.adapters._replay import RandomState, frozen_statistics, synchronises
from augsal_transforms.losses import MaskedEditingLoss


class Unpacked(NamedTuple):
    """A model's arguments and, beside them, the edit they carried."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    edited_args: tuple[Any, ...]
    edit_mask: Tensor


def unpack_channels(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Unpacked | None:
    """Take a packed first argument (…, 7, h, w) apart; ``None`` for any other, as in validation."""
    packed = args[0] if args else None
    if not isinstance(packed, Tensor) or packed.ndim < 4 or packed.shape[-3] != CHANNELS:
        return None
    original, edited, edit_mask = (part.contiguous() for part in packed.split((3, 3, 1), dim=-3))
    is_edited = edit_mask.flatten(1).gt(0).any(1)
    chosen = is_edited.view(-1, *[1] * (packed.ndim - 1))
    return Unpacked((original, *args[1:]), kwargs, (torch.where(chosen, edited, original), *args[1:]), edit_mask)


def identity(prediction: Tensor) -> Tensor:
    """S′ for models that end in a sigmoid."""
    return prediction


def peak(log_density: Tensor) -> Tensor:
    """S′ = p / max p for models that return log p, (B, 1, H, W): the map they are usually saved as."""
    return (log_density - log_density.amax((-2, -1), keepdim=True)).exp()


def odds(log_density: Tensor) -> Tensor:
    """S′ = p / (p + 1/HW), 1/2 where p is uniform. It never saturates; its gradients are some 10 times smaller."""
    return (log_density + math.log(log_density.shape[-2] * log_density.shape[-1])).sigmoid()


LOG_DENSITIES = {"peak": peak, "odds": odds}


def conversion_of(name: str) -> Callable[[Tensor], Tensor]:
    """The conversion of a log density by its name."""
    if name not in LOG_DENSITIES:
        raise ValueError(f"`conversion` must be one of {', '.join(LOG_DENSITIES)}, got {name!r}.")
    return LOG_DENSITIES[name]


class EditingHook:
    """Adds the editing loss to a model's training.

    Args:
        editing_weight: Weight of the editing loss; 0.1 in the released code.
        editing: The editing loss; ``None`` is ``MaskedEditingLoss()``.
        conversion: Function from the model's prediction, (B, 1, H, W), to S′ in [0, 1].
        unpack: Function that takes a model's arguments apart.

    Attributes:
        passes: Number of training passes that carried edits or empty places for them.
        edited: Number of edited items in these passes.
        loss: Mean editing loss of these passes, unweighted, for logging: the loop's own loss does not include it.
    """

    def __init__(
        self,
        editing_weight: float = 0.1,
        editing: MaskedEditingLoss | None = None,
        conversion: Callable[[Tensor], Tensor] = identity,
        unpack: Callable[[tuple[Any, ...], dict[str, Any]], Unpacked | None] = unpack_channels,
    ) -> None:
        if not 0 <= editing_weight < float("inf"):
            raise ValueError(f"`editing_weight` must be 0 or more and finite, got {editing_weight!r}.")
        self.editing_weight, self.editing = editing_weight, editing or MaskedEditingLoss()
        self.conversion, self.unpack = conversion, unpack
        self.passes = self.edited = 0
        self.loss_scale = self.gradient_scale = 1.0
        self._sum = torch.zeros(())
        self._pending: tuple[Unpacked, RandomState] | None = None
        self._handles: dict[nn.Module, list[Any]] = {}

    @property
    def loss(self) -> float:
        """Mean editing loss so far."""
        return self._sum.item() / max(self.passes, 1)

    def set_loss_scale(self, scale: float) -> None:
        """Set the factor that the loop multiplies its loss by before ``backward``: 1/N when it accumulates N batches.

        The scale of a ``GradScaler`` is found without this call and must not be included.
        """
        self.loss_scale = scale

    def attach(self, module: nn.Module) -> None:
        """Hang the loss on a model, once. Under DataParallel: on the DataParallel object, not on the model inside."""
        if module not in self._handles:
            self._handles[module] = [
                module.register_forward_pre_hook(self._before, with_kwargs=True),
                module.register_forward_hook(self._after, with_kwargs=True),
            ]

    def detach(self, module: nn.Module | None = None) -> None:
        """Take the loss off a model, or off all."""
        for held in list(self._handles) if module is None else [module]:
            for handle in self._handles.pop(held, []):
                handle.remove()

    def holds(self, module: nn.Module) -> bool:
        """Whether the loss is attached to a model."""
        return module in self._handles

    @torch.compiler.disable
    def _before(self, module: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        unpacked = self.unpack(args, kwargs)
        self._pending = None
        if unpacked is None:
            return None
        # Not ``module.training``: DeepGaze's ``train`` never sets it.
        if torch.is_grad_enabled() and (synchronises(module) or unpacked.edit_mask.any()):
            self._pending = unpacked, RandomState(unpacked.edit_mask.device)
        self.passes += torch.is_grad_enabled()
        return unpacked.args, unpacked.kwargs

    @torch.compiler.disable
    def _after(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        pending, self._pending = self._pending, None
        prediction = output if isinstance(output, Tensor) else output[0]
        if pending is None or not prediction.requires_grad:
            return None
        unpacked, state = pending
        with state.replayed(), frozen_statistics(module):
            edited_output = module.forward(*unpacked.edited_args, **unpacked.kwargs)
        edited_prediction = edited_output if isinstance(edited_output, Tensor) else edited_output[0]
        loss = self._loss(prediction, edited_prediction, unpacked.edit_mask)
        prediction = _AddLoss.apply(prediction, self.editing_weight * loss, self)
        return prediction if isinstance(output, Tensor) else type(output)((prediction, *output[1:]))

    def _loss(self, prediction: Tensor, edited_prediction: Tensor, edit_mask: Tensor) -> Tensor:
        original, edited = (self.conversion(_as_maps(p)) for p in (prediction, edited_prediction))
        is_edited = edit_mask.flatten(1).gt(0).any(1)
        mask = resize(edit_mask.reshape(-1, 1, *edit_mask.shape[-2:]), original.shape[-2:]).to(original)
        loss: Tensor = self.editing(original, edited, mask, is_edited)
        self.edited += int(is_edited.sum())
        self._sum = self._sum.to(loss.device) + loss.detach()
        return loss

    def __deepcopy__(self, memo: Any) -> EditingHook:
        return self  # a copied model, such as an average of its weights, reports to the same hook

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_pending": None, "_handles": {}}


class _AddLoss(torch.autograd.Function):
    """Return the prediction unchanged; ``backward`` gives the editing loss the gradient of the loop's own loss."""

    @staticmethod
    def forward(ctx: Any, prediction: Tensor, loss: Tensor, hook: EditingHook) -> Tensor:
        ctx.hook, ctx.like = hook, loss.detach()
        return prediction.clone()  # a view would forbid the loop to change it in place

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        # Read now and not in ``forward``: a GradScaler's scale is set by ``scaler.scale(loss)``, in between.
        scale = ctx.hook.loss_scale * ctx.hook.gradient_scale
        return gradients[0], torch.full_like(ctx.like, scale), None


@contextmanager
def gradient_scale_seen(hook: EditingHook) -> Iterator[None]:
    """Let the hook know by what a ``GradScaler`` multiplies losses, whoever makes one."""
    original = torch.amp.GradScaler.scale

    def scale(self: Any, outputs: Any) -> Any:
        scaled = original(self, outputs)
        hook.gradient_scale = self.get_scale()
        return scaled

    torch.amp.GradScaler.scale = scale  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.amp.GradScaler.scale = original  # type: ignore[method-assign]
        hook.gradient_scale = 1.0


def _as_maps(prediction: Tensor) -> Tensor:
    """(B, H, W), (B, 1, H, W) or (B, 1, 1, H, W) → (B, 1, H, W), float32 or better."""
    maps = prediction.reshape(len(prediction), -1, *prediction.shape[-2:])
    if maps.shape[1] != 1:
        raise ValueError(
            f"An edited image must have one predicted map, got a prediction of shape {tuple(prediction.shape)}. "
            "Edits are of still images: video goes without."
        )
    return maps.to(torch.promote_types(maps.dtype, torch.float32))
