"""Train two judges of gaze, which see no photograph that anything else is trained, tuned or measured on.

    python benchmarks/judges.py --data OSIE --out runs/judges
    python benchmarks/judges.py --data OSIE --out runs/judges --smoke --parts 4 2 2 4

A judge says where people would look in an original and in its edited copy: ``load_judge("runs/judges/imagenet")`` has
``predict(images)``, as every predictor has. The judges are of two kinds. ``imagenet`` reads the features of a frozen
encoder pretrained on ImageNet, ``classical`` reads features that nobody learned: colour opponency, centre and surround,
texture and orientation. Each is the mean density of several small heads, trained from several seeds with mirroring.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from table2.classical_features import CHANNELS, STRIDES, classical_features
from table2.encoders import find_weights
from table2.frozen import Compute, Features, FrozenHead, HeadRecipe, compute_features, fit, pick, resize_density
from table2.photographs import SIZE, Parts, Photographs, read_part
from table2.scoring import mean_scores, score_maps
from torch import Tensor, nn

from augsal_transforms.diffusion.letterbox import check_images, resize
from augsal_transforms.files import write_file
from augsal_transforms.losses import SaliencyLoss
from augsal_transforms.progress import Quiet, progress_bar
from augsal_transforms.randomness import keyed_generator
from augsal_transforms.store.keys import to_bytes

KINDS = ("imagenet", "classical")
SEEDS = 5
FILE = "judge.safetensors"


@dataclass(frozen=True)
class Judge:
    """A predictor of people's gaze that takes no part in training or choosing anything.

    Attributes:
        kind: One of ``KINDS``.
        compute: Function that computes the features of images (N, 3, H, W), uint8, at ``SIZE``.
        heads: Heads whose densities are averaged.
    """

    kind: str
    compute: Compute = field(repr=False)
    heads: tuple[FrozenHead, ...] = field(repr=False)

    @torch.no_grad()
    def predict(self, images: Sequence[Tensor] | Tensor, *, seed: int = 0) -> list[Tensor]:
        """Predict where people look.

        Args:
            images: (3, H, W) each, uint8 or float in [0, 1].
            seed: Unused; other predictors draw noise.

        Returns:
            (1, H, W) for each image, at its size, with a maximum of 1.
        """
        checked = check_images(images)
        small = [resize(x.float() / (255 if x.dtype == torch.uint8 else 1), SIZE).clamp(0, 1) for x in checked]
        densities = self.densities(self.compute(torch.stack([to_bytes(x) for x in small])))
        sizes = [(image.shape[-2], image.shape[-1]) for image in checked]
        maps = [resize_density(one[None], size)[0] for one, size in zip(densities, sizes, strict=True)]
        return [x / x.amax() for x in maps]

    @torch.no_grad()
    def densities(self, features: Features) -> Tensor:
        """Mean density of the heads, (N, 1, h, w); each sums to 1."""
        predictions = [head(features) for head in self.heads]
        return torch.stack([x / x.sum((-2, -1), keepdim=True) for x in predictions]).mean(0)


def compute_of(kind: str, encoder: Path | None) -> tuple[Compute, Sequence[int]]:
    """The function that computes a kind's features, and their numbers of channels.

    Args:
        kind: One of ``KINDS``.
        encoder: File of an encoder's weights, as in ``find_weights``.
    """
    if kind == "classical":
        return classical_features, [CHANNELS] * len(STRIDES)
    network = find_weights(encoder).build().to(memory_format=torch.channels_last)
    return partial(compute_features, network), network.channels


def load_judge(folder: str | Path, encoder: Path | None = None) -> Judge:
    """Load a judge from its folder, ``runs/judges/imagenet`` or ``runs/judges/classical``.

    Args:
        folder: Folder that this command wrote.
        encoder: File of the encoder's weights; ``None`` looks where ``find_weights`` does.

    Raises:
        FileNotFoundError: If there is no judge.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist. Train the judges: python benchmarks/judges.py --data OSIE.")
    with safe_open(path, "pt") as file:
        kind, count = file.metadata()["kind"], int(file.metadata()["heads"])
    compute, channels = compute_of(kind, encoder)
    heads = nn.ModuleList(FrozenHead(channels) for _ in range(count))
    heads.load_state_dict(load_file(path))
    return Judge(kind, compute, tuple(heads.eval().requires_grad_(False)))  # type: ignore[arg-type]


def train_judge(
    kind: str, photographs: Photographs, recipe: HeadRecipe, seeds: int = SEEDS, encoder: Path | None = None
) -> Judge:
    """Train a judge: several heads on the same photographs, each mirrored at random.

    Args:
        kind: One of ``KINDS``.
        photographs: Photographs to train on.
        recipe: Settings of each head's training.
        seeds: Number of heads.
        encoder: File of an encoder's weights, as in ``find_weights``.
    """
    compute, channels = compute_of(kind, encoder)
    features = [compute(images) for images in (photographs.images, photographs.images.flip(-1))]
    both = [torch.cat(maps) for maps in zip(*features, strict=True)]  # the mirrored ones follow the others
    maps = torch.cat([photographs.saliency_maps, photographs.saliency_maps.flip(-1)])
    base, count, heads = SaliencyLoss(), len(photographs.names), []

    def loss_of(head: FrozenHead, step: int, rows: Tensor, kept: Features, seed: int) -> Tensor:
        mirrored = torch.randint(2, (len(rows),), generator=keyed_generator("mirror", seed, step))
        rows = rows + count * mirrored
        return base(head(pick(both, rows), kept), maps[rows])

    for seed in progress_bar(range(seeds), "head", kind):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            head = FrozenHead(channels)
        head.standardise(features[0])
        heads.append(fit(head, partial(loss_of, seed=seed), count, seed, recipe))
    return Judge(kind, compute, tuple(head.requires_grad_(False) for head in heads))


def save_judge(judge: Judge, folder: Path) -> None:
    """Write a judge to a folder."""
    tensors = nn.ModuleList(judge.heads).state_dict()
    folder.mkdir(parents=True, exist_ok=True)
    metadata = {"kind": judge.kind, "heads": str(len(judge.heads))}
    write_file(folder / FILE, save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata))


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of photographs with fixations, as OSIE")
    parser.add_argument("--encoder", type=Path, help="file of an encoder pretrained on ImageNet; found if not given")
    parser.add_argument("--out", type=Path, default=Path("runs/judges"), help="folder of the trained judges")
    parser.add_argument("--parts", type=int, nargs=4, help="photographs to train on, tune, prove, and for the judges")
    parser.add_argument("--smoke", action="store_true", help="two steps of training")
    parser.add_argument("--quiet", action=Quiet)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    parts = Parts(**dict(zip(vars(Parts()), options.parts, strict=True))) if options.parts else Parts()
    read: Callable[[str], Photographs] = lambda part: read_part(  # noqa: E731
        options.data, part, parts, partial(progress_bar, desc=part)
    )
    training, tuning = read("judges"), read("tuning")
    for kind in KINDS:
        recipe = HeadRecipe(steps=2) if options.smoke else HeadRecipe(steps=300)
        judge = train_judge(kind, training, recipe, 2 if options.smoke else SEEDS, options.encoder)
        save_judge(judge, options.out / kind)
        scores = mean_scores(score_maps(judge.densities(judge.compute(tuning.images)), tuning))
        text = ", ".join(f"{name} {value:.3f}" for name, value in scores.items())
        print(f"{kind}: on {len(tuning.names)} tuning photographs {text}", flush=True)


if __name__ == "__main__":
    main()
