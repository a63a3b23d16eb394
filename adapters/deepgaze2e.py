"""DeepGaze IIE (matthias-k/DeepGaze): its training functions train with edits; its code stays as it is.

It has no script; data set, model and loop are one's own::

    with deepgaze2e.importable():
        from deepgaze_pytorch import DeepGazeIIE, training
    dataset = deepgaze2e.augmented_dataset(dataset, "edits/", p=0.5)  # before the DataLoader is made
    deepgaze2e.prepare(model)  # IIE and other mixtures: see there
    with deepgaze2e.augmented(model, editing_weight=0.1):
        training._train(folder, model, DataLoader(dataset, …), …)

How its sample becomes ours: an item is a dict with ``image`` (3, H, W) in [0, 255] at the image's own size. Its
loop hands every key that it does not know to the model, so the edit comes as two keys more, ``augsal_edit`` and
``augsal_mask``, which the hook takes before the model sees them. Images are found by the stimuli's file names.

How its prediction becomes S′: it predicts log p over the pixels, (B, H, W), or (B, 1, H, W) from mixtures.
S′ = p / max p (`peak`); `odds` is there to compare. The edited image is seen with the original's centre bias.

Where its loop takes a loss: ``training.train_epoch`` takes the log likelihood of the model's output and calls
``backward``; the editing loss comes with that output. Models of the kinds II and III answer ``train()`` without
setting ``training``, so what counts is whether gradients are enabled.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augsal_transforms.adapters._dataset import DatasetProxy, resize
from augsal_transforms.adapters._hook import EditingHook, Unpacked, conversion_of
from augsal_transforms.adapters._patching import claim
from augsal_transforms.adapters._run import open_edits, training
from augsal_transforms.adapters._shims import say, stand_ins, with_trapz
from augsal_transforms.editor.results import EditedImage
from augsal_transforms.losses import MaskedEditingLoss
from augsal_transforms.store.store import EditStore

EDIT, MASK = "augsal_edit", "augsal_mask"


@contextmanager
def importable() -> Iterator[None]:
    """``deepgaze_pytorch`` imports OpenAI's clip for one model, installed or not."""
    with stand_ins(clip="only DeepGaze MSDB uses it"):
        yield


def prepare(model: nn.Module) -> nn.Module:
    """Make a mixture (DeepGaze IIE, DeepGaze III) trainable by ``training._train``, for good.

    As it is, its (B, 1, H, W) output meets (B, H, W) fixations in the likelihood, which compares every prediction with
    every image's fixations; ``_train`` looks for a ``finalizer`` that only the single models have; and ``train()``
    lets the running statistics of its frozen backbones drift.

    Raises:
        TypeError: For a model that is no mixture, and needs none of this.
    """
    parts: list[Any] = list(getattr(model, "models", [model]))
    if not all(hasattr(part, "finalizers") for part in parts):
        raise TypeError(
            f"`prepare` is for mixtures, whose parts have `finalizers`; {type(model).__name__} is trainable as it is."
        )
    model.__dict__["finalizer"] = parts[0].finalizers[0]  # beside the modules: the state_dict stays
    model.register_forward_pre_hook(_keep_features_in_eval)
    model.register_forward_hook(_without_channel)
    say("predictions (B, 1, H, W) → (B, H, W), backbones kept in eval, `finalizer` is the first part's")
    return model


def _keep_features_in_eval(module: Any, args: Any) -> None:
    for part in getattr(module, "models", [module]):
        part.features.eval()


def _without_channel(module: Any, args: Any, output: Tensor) -> Tensor:
    return output[:, 0] if output.ndim == 4 else output


def augmented_dataset(dataset: Any, store: EditStore | str | Path, *, p: float = 0.5, seed: int = 0) -> Any:
    """Wrap one of the upstream's data sets so that its items carry edits. Give the result to DataLoader and sampler.

    Args:
        dataset: An ``ImageDataset`` or ``FixationDataset`` of ``FileStimuli``.
        store: Edits of its images.
        p: Chance of an edit. The paper's p (Sec. 5.3) is 1 − p.
        seed: Seed of the draws of edits, and of nothing else.

    Raises:
        RuntimeError: If the store has no edit of these images.
    """
    proxy = DatasetProxy(dataset, open_edits(store, p, seed), _path, _carry, _pictures)
    proxy.announce()
    return proxy


@contextmanager
def augmented(
    model: nn.Module,
    *,
    editing_weight: float = 0.1,
    editing: MaskedEditingLoss | None = None,
    conversion: str = "peak",
) -> Iterator[EditingHook]:
    """Train a model on an ``augmented_dataset`` while this lasts.

    Args:
        model: The upstream's model.
        editing_weight: Weight of the editing loss.
        editing: The editing loss; ``None`` is ``MaskedEditingLoss()``.
        conversion: ``"peak"`` or ``"odds"``; a weight does not carry over from one to the other.

    Raises:
        RuntimeError: At the end, if no batch of an ``augmented_dataset`` was trained on.
    """
    claim("deepgaze2e")
    hook = EditingHook(editing_weight, editing, conversion_of(conversion), unpack_keys)
    with ExitStack() as stack:
        stack.enter_context(with_trapz())
        stack.enter_context(training(hook))
        hook.attach(model)
        yield hook


def unpack_keys(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Unpacked | None:
    """Take the two keys out of a call; ``None`` where they are not, as in validation."""
    if EDIT not in kwargs:
        return None
    rest = {name: value for name, value in kwargs.items() if name not in (EDIT, MASK)}
    image, edit_mask = args[0], kwargs[MASK]
    chosen = edit_mask.flatten(1).gt(0).any(1)[:, None, None, None]
    return Unpacked(args, rest, (torch.where(chosen, kwargs[EDIT], image), *args[1:]), edit_mask)


def _path(dataset: Any, index: int) -> Path:
    by_fixation = hasattr(dataset, "included_fixations")  # a FixationDataset, which has an item for each
    return Path(dataset.stimuli.filenames[dataset.fixations.n[index] if by_fixation else index])


def _carry(dataset: Any, item: Any, edit: EditedImage | None) -> Any:
    size = item["image"].shape[-2:]
    if edit is None:
        edited, mask = np.zeros_like(item["image"]), torch.zeros(1, *size)
    else:
        edited = _at_size(edit.image, size).numpy().astype(item["image"].dtype)
        mask = resize(edit.edit_mask, size)
    return {**item, EDIT: edited, MASK: mask}  # a copy: the data set's cache hands out the dict that it keeps


def _pictures(item: Any) -> tuple[Tensor, Tensor]:
    return torch.as_tensor(item["image"]), torch.as_tensor(item[EDIT])


def _at_size(image: Tensor, size: Any) -> Tensor:
    if image.shape[-2:] == torch.Size(size):
        return image
    resized = F.interpolate(image[None].float(), tuple(size), mode="bilinear", align_corners=False, antialias=True)
    return resized[0].round()
