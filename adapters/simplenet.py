"""SimpleNet (samyak0210/saliency): its ``train.py`` trains with edits; its files stay as they are.

In the checkout's ``SimpleNet`` folder::

    python -m augsal_transforms.adapters.simplenet --store edits/ -- train.py --dataset_dir DIR/ --enc_model pnas

How its sample becomes ours: an item is (image (3, 256, 256) in [−1, 1], map, fixations); the edited image goes
through the same ``img_transform`` and beside the image into one tensor. Images are .png: convert SALICON's .jpg
before the store is filled, so that its edits are of the files that are read.

How its prediction becomes S′: all five encoders end in a sigmoid, (B, 256, 256). S′ is the prediction.

Where its loop takes a loss: ``train`` calls the model, ``loss_func`` and ``backward``, all made when the script
runs and out of reach before; the editing loss comes with the prediction. Its validation has no gradients.

Note:
    ``--dataset_dir`` must end in a slash. Its flags are ``type=bool``: ``--cc False`` is true.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from augsal_transforms.adapters._hook import EditingHook
from augsal_transforms.adapters._launch import launch
from augsal_transforms.adapters._patching import claim, upstream_module
from augsal_transforms.adapters._run import open_edits
from augsal_transforms.adapters._salicon_script import patched_script
from augsal_transforms.adapters._shims import forked_workers, say, stand_ins, without_cuda
from augsal_transforms.losses import MaskedEditingLoss
from augsal_transforms.store.store import EditStore

MODELS = ("PNASModel", "DenseModel", "ResNetModel", "VGGModel", "MobileNetV2")


@contextmanager
def shims() -> Iterator[None]:
    """Provide for a block what the script needs to start today."""
    unused = stand_ins(pytorch_ssim="imported, never used", torchsummary="imported, never used")
    with unused, without_cuda(), forked_workers():
        yield


@contextmanager
def augmented(
    store: EditStore | str | Path,
    *,
    p: float = 0.5,
    editing_weight: float = 0.1,
    editing: MaskedEditingLoss | None = None,
    seed: int = 0,
) -> Iterator[EditingHook]:
    """Run ``train.py`` with edits while this lasts, from its folder, which must be on ``sys.path``.

    Args:
        store: Edits of the images in ``images/train``.
        p: Chance of an edit. The paper's p (Sec. 5.3) is 1 − p.
        editing_weight: Weight of the editing loss.
        editing: The editing loss; ``None`` is ``MaskedEditingLoss()``.
        seed: Seed of the draws of edits, and of nothing else.

    Raises:
        RuntimeError: If the store has no edit of these images, or none was seen although ``p`` > 0.
    """
    claim("simplenet")
    with ExitStack() as stack:
        stack.enter_context(shims())
        dataloader, model = (upstream_module(name, "SimpleNet/") for name in ("dataloader", "model"))
        original = dataloader.SaliconDataset

        def make(images: str, maps: str, fixations: str, *args: Any, **kwargs: Any) -> Any:
            return original(images, maps, _fixations(fixations), *args, **kwargs)

        yield stack.enter_context(
            patched_script(
                EditingHook(editing_weight, editing),
                open_edits(store, p, seed),
                dataloader=dataloader,
                models=[getattr(model, name) for name in MODELS if hasattr(model, name)],
                path=_path,
                make=make,
            )
        )


def _fixations(folder: str) -> str:
    """``fixations/fixations/``, where the script looks when it validates, or ``fixations/val/``, as its README says."""
    documented = Path(folder).parent / "val"
    if Path(folder).is_dir() or not documented.is_dir():
        return folder
    say(f"there is no {folder}; fixations of validation are read from {documented}")
    return str(documented)


def _path(dataset: Any, index: int) -> Path:
    return Path(dataset.img_dir) / f"{dataset.img_ids[index]}{dataset.exten}"


if __name__ == "__main__":
    from augsal_transforms.adapters import simplenet

    launch("simplenet", simplenet.augmented)  # of the imported module: workers import by name what they are sent
