r"""UNISAL (rdroste/unisal): its SALICON batches carry edits; its code stays as it is.

From the root of the checkout::

    python -m augsal_transforms.adapters.unisal --store edits/ -- run.py train \
        --data_sources="['SALICON']" --eval_sources="[]"

or around one's own call::

    with unisal.augmented(trainer, "edits/", p=0.5, editing_weight=0.1):
        trainer.fit()

How its sample becomes ours: an item is ([1], image (3, 288, 384) after its ``preprocess``, saliency map, fixations,
target size); the edited image goes through the same ``preprocess`` and beside the image into one tensor. Batches of
video are left alone.

How its prediction becomes S′: it predicts log p over the pixels, whose maximum is arbitrary. S′ = p / max p (`peak`),
as it saves its maps; `odds` is there to compare.

Where its loop takes a loss: ``Trainer.fit_sample`` calls the model, adds up its losses and calls ``backward``; the
editing loss comes with the prediction, inside the clipped gradient norm.

Note:
    ``data_sources`` as a list: with the tuple ("SALICON",) the upstream builds no RNN and then asks for it.
    ``eval_sources="[]"``, because scoring after training does not run with NumPy 2.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from augsal_transforms.adapters._dataset import DatasetProxy, StoredEdits, pack
from augsal_transforms.adapters._hook import LOG_DENSITIES, EditingHook, conversion_of
from augsal_transforms.adapters._launch import launch
from augsal_transforms.adapters._patching import claim, replaced, upstream_module
from augsal_transforms.adapters._run import open_edits, training
from augsal_transforms.editor.results import EditedImage
from augsal_transforms.losses import MaskedEditingLoss
from augsal_transforms.store.store import EditStore


@contextmanager
def augmented(
    trainer: Any,
    store: EditStore | str | Path,
    *,
    p: float = 0.5,
    editing_weight: float = 0.1,
    editing: MaskedEditingLoss | None = None,
    conversion: str = "peak",
    seed: int = 0,
) -> Iterator[EditingHook]:
    """Train with edits while this lasts.

    Args:
        trainer: A ``unisal.train.Trainer``, or the class.
        store: Edits of SALICON's training images.
        p: Chance of an edit. The paper's p (Sec. 5.3) is 1 − p.
        editing_weight: Weight of the editing loss.
        editing: The editing loss; ``None`` is ``MaskedEditingLoss()``.
        conversion: ``"peak"`` or ``"odds"``; a weight does not carry over from one to the other.
        seed: Seed of the draws of edits, and of nothing else.

    Raises:
        RuntimeError: If the store has no edit of these images, or none was seen although ``p`` > 0.
    """
    claim("unisal")
    hook = EditingHook(editing_weight, editing, conversion_of(conversion))
    edits, proxies = open_edits(store, p, seed), list[DatasetProxy]()
    kind: Any = trainer if isinstance(trainer, type) else type(trainer)
    with ExitStack() as stack:
        stack.enter_context(replaced(kind, "get_dataset", _with_edits(kind.get_dataset, edits, proxies)))
        stack.enter_context(replaced(kind, "fit_phase", _with_hook(kind.fit_phase, hook, proxies)))
        yield stack.enter_context(training(hook, proxies, p))


def _with_edits(get_dataset: Callable[..., Any], edits: StoredEdits, proxies: list[DatasetProxy]) -> Callable[..., Any]:
    """The upstream's ``get_dataset``, which now returns a proxy for SALICON's training set.

    The classes stay as they are: configs are saved by their names and the arguments of their ``__init__``.
    """

    @functools.wraps(get_dataset)
    def wrapped(self: Any, phase: str, source: str = "DHF1K") -> Any:
        dataset = get_dataset(self, phase, source)
        if (phase, source) != ("train", "SALICON"):
            return dataset
        for proxy in proxies:
            if proxy.dataset is dataset:
                return proxy
        proxies.append(DatasetProxy(dataset, edits, _path, _carry))
        proxies[-1].announce()
        return proxies[-1]

    return wrapped


def _with_hook(fit_phase: Callable[..., Any], hook: EditingHook, proxies: list[DatasetProxy]) -> Callable[..., Any]:
    @functools.wraps(fit_phase)
    def wrapped(self: Any) -> Any:
        hook.attach(self.model)
        loaders = self._dataloaders.get("SALICON", {})
        if "train" in loaders and not any(loaders["train"].dataset is proxy for proxy in proxies):
            del loaders["train"]  # it was made before the adapter was entered, and would give no edits
        return fit_phase(self)

    return wrapped


def _path(dataset: Any, index: int) -> Path:
    return Path(dataset.dir) / "images" / f"{dataset.file_stem}{dataset.file_nr.format(dataset.samples[index])}.jpg"


def _carry(dataset: Any, item: Any, edit: EditedImage | None) -> Any:
    frames, image, *rest = item
    if edit is None:
        return [frames, pack(image), *rest]
    edited: Tensor = dataset.preprocess(np.ascontiguousarray(edit.image.permute(1, 2, 0).numpy()), data="img")
    return [frames, pack(image, edited, edit.edit_mask), *rest]


def main() -> None:
    """The command."""

    def with_store(**options: Any) -> Any:
        return augmented(upstream_module("unisal", "unisal/").train.Trainer, **options)

    launch("unisal", with_store, conversions=list(LOG_DENSITIES))


if __name__ == "__main__":
    from augsal_transforms.adapters import unisal

    unisal.main()  # of the imported module: workers import by name what they are sent
