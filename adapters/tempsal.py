r"""TempSAL (IVRL/Tempsal): its ``train.py`` trains with edits; its files stay as they are.

In the checkout's ``src`` folder::

    python -m augsal_transforms.adapters.tempsal --store edits/ -- train.py \
        --enc_model pnas_boosted_multi --model_path multilevel_tempsal.pt --dataset_dir DIR/

How its sample becomes ours: an item is (image (3, 256, 256) in [−1, 1], map, fixations); the edited image goes
through the same ``img_transform`` and beside the image into one tensor. Images are .jpg, fixations in
``fixation_maps``.

How its prediction becomes S′: the model returns (map (B, 256, 256) after a sigmoid, five maps over time of a frozen
network). S′ is the first; the edited image's five are not used.

Where its loop takes a loss: as in SimpleNet, of which it is a fork.

Note:
    As published the script does not start: it imports a module and a class by other names than theirs, and logs to
    wandb without a run. ``--enc_model pnas``, its default, cannot be trained by it: it takes the one map that model
    returns for two. Only 14 tensors learn; the running statistics of the frozen networks move in training all the
    same, with edits as without.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
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

MODEL, MISSPELT = "PNASBoostedModelMultiLevel", "PNASBoostedModelMultilevel"


@contextmanager
def shims() -> Iterator[None]:
    """Provide for a block what the script needs to start today; its folder must be on ``sys.path``."""
    with ExitStack() as stack:
        stack.enter_context(stand_ins(wandb="nothing is logged"))
        stack.enter_context(without_cuda())
        stack.enter_context(forked_workers())
        stack.enter_context(_dataloader())
        wandb, model = importlib.import_module("wandb"), upstream_module("model", "src/")
        if wandb.run is None:
            say("wandb is logged to without a run: a disabled one is begun; call wandb.init yourself to log")
            wandb.init(mode="disabled")
            stack.callback(wandb.finish)
        if not hasattr(model, MISSPELT):
            say(f"model.{MISSPELT} is {MODEL}")
            setattr(model, MISSPELT, getattr(model, MODEL))
            stack.callback(delattr, model, MISSPELT)
        yield


@contextmanager
def _dataloader() -> Iterator[None]:
    if importlib.util.find_spec("dataloader"):
        yield
        return
    say("there is no module dataloader; dataloader_clean is imported in its place")
    sys.modules["dataloader"] = upstream_module("dataloader_clean", "src/")
    try:
        yield
    finally:
        del sys.modules["dataloader"]


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
        ValueError: For ``--enc_model pnas``, which cannot be trained by the script.
        RuntimeError: If the store has no edit of these images, or none was seen although ``p`` > 0.
    """
    claim("tempsal")
    _refuse_pnas()
    with ExitStack() as stack:
        stack.enter_context(shims())
        dataloader, model = (upstream_module(name, "src/") for name in ("dataloader", "model"))
        yield stack.enter_context(
            patched_script(
                EditingHook(editing_weight, editing),
                open_edits(store, p, seed),
                dataloader=dataloader,
                models=[getattr(model, MODEL)],
                path=_path,
            )
        )


def _refuse_pnas() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--enc_model", default="pnas")
    chosen = parser.parse_known_args(sys.argv[1:])[0].enc_model
    if Path(sys.argv[0]).name == "train.py" and chosen == "pnas":
        raise ValueError(
            "TempSAL's `--enc_model pnas` (its default) cannot be trained by its train.py: the loop takes two outputs "
            "of a model that returns one, and splits the batch. Use `--enc_model pnas_boosted_multi --model_path FILE`."
        )


def _path(dataset: Any, index: int) -> Path:
    return Path(dataset.img_dir) / f"{dataset.img_ids[index]}.jpg"


if __name__ == "__main__":
    from augsal_transforms.adapters import tempsal

    launch("tempsal", tempsal.augmented)  # of the imported module: workers import by name what they are sent
