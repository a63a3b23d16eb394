r"""Train TempSAL with edits, in an unchanged checkout of IVRL/Tempsal.

    python examples/train_tempsal_aug.py --tempsal PATH --store edits/ \
        --enc_model pnas_boosted_multi --model_path multilevel_tempsal.pt --dataset_dir SALICON/
    python examples/train_tempsal_aug.py --tempsal PATH --smoke   # six scenes, one epoch, random weights (1 GB)

Other options are passed on to the checkout's ``train.py``. The same without this file, in the folder of ``train.py``:
``python -m augsal_transforms.adapters.tempsal --store edits/ -- train.py --dataset_dir SALICON/``
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import torch
from upstream_scenes import write_scenes

from augsal_transforms.adapters import tempsal
from augsal_transforms.adapters._launch import launch
from augsal_transforms.progress import Quiet

SMOKE = ("--enc_model", "pnas_boosted_multi", "--no_epochs", "1", "--batch_size", "2", "--no_workers", "0")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tempsal", type=Path, required=True, help="folder of the checkout")
    parser.add_argument("--store", type=Path, help="store of edits of the training images")
    parser.add_argument("--smoke", action="store_true", help="run everything once, in a few minutes")
    parser.add_argument("--quiet", action=Quiet)
    options, theirs = parser.parse_known_args()
    if not options.smoke and options.store is None:
        parser.error("pass --store, a store of edits of the training images; `augsal generate` makes one")
    with tempfile.TemporaryDirectory() as folder:
        store = options.store and options.store.resolve()
        source = options.tempsal.resolve() / "src"
        if options.smoke:
            data = write_scenes(Path(folder), images="images/{split}", fixations="fixation_maps/{split}")
            store, checkpoint = Path(folder) / "edits", Path(folder) / "random.pt"
            write_random_checkpoint(source, checkpoint)
            paths = ["--dataset_dir", f"{data}/", "--model_path", str(checkpoint)]
            theirs = [*paths, "--model_val_path", f"{folder}/model.pt", *SMOKE, *theirs]
        os.chdir(source)
        launch("tempsal", tempsal.augmented, argv=["--store", str(store), "--", "train.py", *theirs])


def write_random_checkpoint(source: Path, checkpoint: Path) -> None:
    """Save a checkpoint of random weights: the model can only be built from a checkpoint of itself."""
    os.chdir(source)
    sys.path.insert(0, str(source))
    with tempsal.shims(), without_loading():
        model = importlib.import_module("model").PNASBoostedModelMultiLevel("cpu", "", "", 5)
        torch.save(model.state_dict(), checkpoint)


@contextmanager
def without_loading() -> Iterator[None]:
    """Keep random weights: loading does nothing inside the block."""
    nothing = mock.Mock(return_value={})
    with mock.patch("torch.load", nothing), mock.patch("torch.nn.Module.load_state_dict", nothing):
        yield


if __name__ == "__main__":
    main()
