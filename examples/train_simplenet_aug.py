"""Train SimpleNet with edits, in an unchanged checkout of samyak0210/saliency.

    python examples/train_simplenet_aug.py --simplenet PATH --store edits/ --dataset_dir SALICON/ --enc_model pnas
    python examples/train_simplenet_aug.py --simplenet PATH --smoke   # six scenes, one epoch, no weights

Other options are passed on to the checkout's ``train.py``. The same without this file, in the folder of ``train.py``:
``python -m augsal_transforms.adapters.simplenet --store edits/ -- train.py --dataset_dir SALICON/``
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from upstream_scenes import write_scenes

from augsal_transforms.adapters import simplenet
from augsal_transforms.adapters._launch import launch
from augsal_transforms.progress import Quiet

SMOKE = ("--enc_model", "resnet", "--load_weight", "0", "--no_epochs", "1", "--batch_size", "2", "--no_workers", "0")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simplenet", type=Path, required=True, help="folder of the checkout")
    parser.add_argument("--store", type=Path, help="store of edits of the training images")
    parser.add_argument("--smoke", action="store_true", help="run everything once, in two minutes")
    parser.add_argument("--quiet", action=Quiet)
    options, theirs = parser.parse_known_args()
    if not options.smoke and options.store is None:
        parser.error("pass --store, a store of edits of the training images; `augsal generate` makes one")
    with tempfile.TemporaryDirectory() as folder:
        store = options.store and options.store.resolve()
        if options.smoke:
            data = write_scenes(Path(folder), images="images/{split}", fixations="fixations/{split}", ending=".png")
            store = Path(folder) / "edits"
            theirs = ["--dataset_dir", f"{data}/", "--model_val_path", f"{folder}/model.pt", *SMOKE, *theirs]
        os.chdir(options.simplenet / "SimpleNet")
        launch("simplenet", simplenet.augmented, argv=["--store", str(store), "--", "train.py", *theirs])


if __name__ == "__main__":
    main()
