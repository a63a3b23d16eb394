"""Train SimpleNet with edits, in a checkout of samyak0210/saliency that stays as it is.

    python examples/train_simplenet_aug.py --simplenet PATH --store edits/ --dataset_dir SALICON/ --enc_model pnas
    python examples/train_simplenet_aug.py --simplenet PATH --smoke   # six scenes, one epoch, no weights

What it does not know it hands to the checkout's ``train.py``. The same without this file, in its folder:
``python -m augsal_transforms.adapters.simplenet --store edits/ -- train.py …``
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from upstream_scenes import write_scenes

from augsal_transforms.adapters import simplenet
from augsal_transforms.adapters._launch import launch

SMOKE = ("--enc_model", "resnet", "--load_weight", "0", "--no_epochs", "1", "--batch_size", "2", "--no_workers", "0")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simplenet", type=Path, required=True, help="the checkout")
    parser.add_argument("--store", type=Path, help="edits of the training images")
    parser.add_argument("--smoke", action="store_true", help="everything once, in two minutes")
    options, theirs = parser.parse_known_args()
    if not options.smoke and options.store is None:
        parser.error("--store is missing: a folder of edits of the training images")
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
