"""Trains upstreams, or their stand-ins, as the adapters' contract asks: ``upstream_runs.py [NAME CHECKOUT FOLDER]…``.

Every training run is a forked child, because the upstreams are scripts and share names of modules. Prints
one line of JSON for each upstream: what each run ended in, or ``null`` where one failed.
"""

import hashlib
import importlib
import json
import multiprocessing
import os
import random
import runpy
import shutil
import sys
import warnings
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest
import torch
import torch.nn.functional as F
from helpers.records import EDITS, edited, key_of
from torch.utils.data import default_collate

from augsal_transforms import EditStore, MaskedEditingLoss
from augsal_transforms.adapters import deepgaze2e, simplenet, tempsal
from augsal_transforms.adapters import unisal as unisal_adapter
from augsal_transforms.adapters._dataset import DatasetProxy, StoredEdits
from augsal_transforms.adapters._patching import replaced
from augsal_transforms.adapters._shims import with_trapz
from augsal_transforms.data.images import read_image, to_rgb_image

STAND_INS = Path(__file__).parent / "upstreams"
WEIGHT = 0.1
RUNS = {"plain": None, "p = 0": (0, WEIGHT), "weight 0": (1, 0), "augmented": (1, WEIGHT)}


def write_pictures(
    folder, size, *, images, maps="maps/{split}", fixations="fixations/{split}", ending=".jpg", turned=False
):
    """Four images to train on and two to validate, in an upstream's layout; returns those to train on.

    With ``turned`` two of the four stand upright.
    """
    random_numbers = np.random.default_rng(0)
    written = []
    for split, count in (("train", 4), ("val", 2)):
        for n in range(count):
            name = f"COCO_{split}2014_{n + 1:012d}"
            height, width = size[::-1] if turned and n > 1 else size
            coarse = random_numbers.integers(0, 255, (6, 8, 3), np.uint8)
            fixation_map = np.zeros((height, width), np.uint8)
            fixation_map[random_numbers.integers(0, height, 9), random_numbers.integers(0, width, 9)] = 255
            pictures = {
                images: PIL.Image.fromarray(coarse).resize((width, height), PIL.Image.Resampling.BICUBIC),
                maps: PIL.Image.fromarray(coarse[..., 0]).resize((width, height), PIL.Image.Resampling.BICUBIC),
                fixations: PIL.Image.fromarray(fixation_map),
            }
            for kind, picture in pictures.items():
                path = folder / kind.format(split=split) / f"{name}{ending if kind == images else '.png'}"
                path.parent.mkdir(parents=True, exist_ok=True)
                picture.save(path)
            if split == "train":
                written.append(folder / images.format(split=split) / f"{name}{ending}")
    return written


def fill(folder, paths, *, null=False):
    """A store of edits of these files; null ones have a mask and change no pixel."""
    store = EditStore(folder)
    for path in paths:
        original = to_rgb_image(read_image(path)).as_subclass(torch.Tensor)
        height, width = original.shape[-2:]
        for edit in EDITS[:2]:
            result = edited(original, edit, place=(height // 4, width // 4, height // 2, width // 2))
            if null:
                result.image.copy_(original)
            store.put(key_of(original, edit), original, result, source=path.stem)
    return store


def fingerprint(*things):
    digest = hashlib.sha256()
    for thing in things:
        digest.update(thing.cpu().numpy().tobytes() if isinstance(thing, torch.Tensor) else repr(thing).encode())
    return digest.hexdigest()


def ending_of(model, **rest):
    """What a run ended in: weights and buffers, their names, and where it left the random generators."""
    state = model.state_dict()
    generators = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    return {
        "state": fingerprint(*state.values()),
        "keys": fingerprint(*state),
        "random": fingerprint(*generators),
        **rest,
    }


def step(hook, model, batch, call, objective, convert):
    """One step by hand, in float64: is what the hook adds to the gradient the gradient of the editing loss?

    Args:
        batch: Two packed images (2, 7, h, w); the second is made unedited.
        call: ``call(images)`` → the model's prediction.
        objective: The upstream's own loss of a prediction.
        convert: Prediction → S′ (2, 1, H, W).
    """
    model.double()
    packed = batch.double().clone()
    packed[1, 3:] = 0
    original, mask = packed[:, :3].contiguous(), packed[:, 6:]
    edited_images = torch.stack([packed[0, 3:6], original[1]])
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def run(images):
        torch.manual_seed(0)
        return call(images)

    def gradient(loss):
        found = torch.autograd.grad(loss, parameters, allow_unused=True)
        return torch.cat(
            [
                torch.zeros_like(p).flatten() if g is None else g.flatten()
                for g, p in zip(found, parameters, strict=True)
            ]
        )

    added = gradient(objective(run(packed))) - gradient(objective(run(original)))
    prediction, edited_prediction = convert(run(original)), convert(run(edited_images))
    mask = F.interpolate(mask, prediction.shape[-2:], mode="bilinear", antialias=True)
    expected = gradient(WEIGHT * MaskedEditingLoss()(prediction, edited_prediction, mask))

    seen = []
    hook.editing, editing = lambda *maps: (seen.append(maps), editing(*maps))[1], hook.editing
    packed[:, 3:6], packed[:, 6] = original, 1
    run(packed)
    return {
        "error": ((added - expected).norm() / expected.norm()).item(),
        "expected": expected.norm().item(),
        "null edit equal": torch.equal(seen[0][0], seen[0][1]) and seen[0][0].std().item() > 0,
    }


def null_edits_equal(proxy, folder):
    """Whether an edit that changes no pixel reaches the model as the very image, through file, store and transform."""
    null = DatasetProxy(proxy.dataset, StoredEdits(EditStore(folder, readonly=True), 1.0, 0), proxy.path, proxy.carry)
    images = [image_of(null[n]) for n in range(len(null))]
    return all(torch.equal(image[:3], image[3:6]) and image[6].any() for image in map(torch.as_tensor, images))


def image_of(item):
    return next(part for part in item if isinstance(part, torch.Tensor) and part.shape[0] == 7)


class Unisal:
    place, marker = "unisal", "unisal/train.py"

    def __init__(self, checkout, folder, real):
        self.checkout, self.folder, self.real = checkout, folder, real
        self.images = write_pictures(folder / "data", (480, 640) if real else (48, 64), images="images")
        weights = checkout / "unisal/models/weights/mobilenet_v2.pth.tar"
        if real and not weights.exists():
            torch.save({}, weights)  # copied into the run's folder, and not read where nothing is pretrained

    def train(self, name, augmentation):
        os.environ["SALICON_DATA_DIR"] = str(self.folder / "data")
        os.environ["TRAIN_DIR"] = str(self.folder / name)
        sys.path.insert(0, str(self.checkout))
        import unisal

        sources = ["SALICON"] if self.real else ["DHF1K", "SALICON"]
        trainer = unisal.train.Trainer(
            num_epochs=1,
            data_sources=sources,
            salicon_batch_size=2,
            num_workers=0,
            tboard=False,
            model_cfg={"sources": sources, **({"cnn_cfg": {"pretrained": False}} if self.real else {})},
            prefix="run",
        )
        if augmentation is None:
            trainer.fit()
            return ending_of(trainer.model, configs=self.configs(trainer))
        p, weight = augmentation
        with unisal_adapter.augmented(trainer, self.folder / "store", p=p, editing_weight=weight) as hook:
            trainer.fit()
            end = ending_of(trainer.model, configs=self.configs(trainer), passes=hook.passes, edited=hook.edited)
            if (p, weight) == (1, WEIGHT):
                end["step"] = self.step(trainer, hook)
        return end

    def configs(self, trainer):
        return {path.name: path.read_text() for path in sorted(trainer.train_dir.glob("[A-Z]*.json"))}

    def step(self, trainer, hook):
        proxy = trainer.get_dataset("train", "SALICON")
        _, images, sal, fix, (heights, widths) = default_collate([proxy[0], proxy[1]])
        size = heights[0].item(), widths[0].item()
        trainer.model.train().requires_grad_()

        def call(x):
            return trainer.model(x.unsqueeze(1), target_size=size, source="SALICON")

        def objective(prediction):
            return trainer.loss_sequences(prediction, sal.double().unsqueeze(1), fix.unsqueeze(1), ("kld",))[0].mean()

        def convert(prediction):
            density = prediction.exp()[:, 0]
            return density / density.amax((-2, -1), keepdim=True)

        return {
            **step(hook, trainer.model, images, call, objective, convert),
            "null pixels equal": null_edits_equal(proxy, self.folder / "null"),
        }


class Script:
    """A program at module level: SimpleNet and TempSAL."""

    def __init__(self, checkout, folder, real, **layout):
        self.folder, self.real = folder, real
        self.source = checkout / Path(self.marker).parent
        self.images = write_pictures(folder / "data", (480, 640) if real else (48, 64), **layout)

    def train(self, name, augmentation):
        os.chdir(self.source)
        sys.path.insert(0, str(self.source))
        weights = self.folder / f"{name}.pt"
        sys.argv = ["train.py", "--dataset_dir", f"{self.folder}/data/", "--no_epochs", "1", "--batch_size", "2"]
        sys.argv += ["--no_workers", "0", "--model_val_path", str(weights), *self.options]
        if augmentation is None:
            with self.adapter.shims():
                scope = runpy.run_path("train.py", run_name="__main__")
                return ending_of(scope["model"], configs=list(torch.load(weights)))
        p, weight = augmentation
        with self.adapter.augmented(self.folder / "store", p=p, editing_weight=weight) as hook:
            scope = runpy.run_path("train.py", run_name="__main__")
            saved = list(torch.load(weights))
            end = ending_of(scope["model"], configs=saved, passes=hook.passes, edited=hook.edited)
            if (p, weight) == (1, WEIGHT):
                end["step"] = self.step(scope, hook)
        return end

    def step(self, scope, hook):
        model, proxy, loss = scope["model"], scope["train_dataset"], importlib.import_module("loss")
        images, maps, _ = default_collate([proxy[0], proxy[1]])
        model.train()

        def call(x):
            output = model(x)
            return output if isinstance(output, torch.Tensor) else output[0]

        def objective(prediction):
            return loss.kldiv(prediction, maps.to(prediction.dtype))

        return {
            **step(hook, model, images, call, objective, lambda prediction: prediction[:, None]),
            "null pixels equal": null_edits_equal(proxy, self.folder / "null"),
        }


class SimpleNet(Script):
    place, marker, adapter = "simplenet", "SimpleNet/train.py", simplenet
    options = ("--enc_model", "resnet", "--load_weight", "0")

    def __init__(self, checkout, folder, real):
        super().__init__(checkout, folder, real, images="images/{split}", ending=".png")
        (folder / "data/fixations/fixations").symlink_to("val")  # where the script looks


class TempSAL(Script):
    place, marker, adapter = "tempsal", "src/train.py", tempsal

    def __init__(self, checkout, folder, real):
        super().__init__(checkout, folder, real, images="images/{split}", fixations="fixation_maps/{split}")
        checkpoint = folder / "checkpoint.pt"
        self.options = ("--enc_model", "pnas_boosted_multi", "--model_path", str(checkpoint))
        in_child(self.fabricate, checkpoint)

    def fabricate(self, checkpoint):
        """The model loads a checkpoint of itself; here is one of random weights."""
        os.chdir(self.source)
        sys.path.insert(0, str(self.source))
        with tempsal.shims(), replaced(torch, "load", lambda *args, **kwargs: {}):
            with replaced(torch.nn.Module, "load_state_dict", lambda *args, **kwargs: None):
                boosted = importlib.import_module("model").PNASBoostedModelMultiLevel("cpu", "", "", 5)
            torch.save(boosted.state_dict(), checkpoint)


class DeepGaze:
    """DeepGaze IIE by the training functions that are there; the stimuli are of two sizes."""

    place, marker, size = "deepgaze", "deepgaze_pytorch/training.py", (96, 128)

    def __init__(self, checkout, folder, real):
        self.checkout, self.folder, self.real = checkout, folder, real
        self.images = write_pictures(folder / "data", self.size, images="images/{split}", turned=True)

    def train(self, name, augmentation):
        sys.path.insert(0, str(self.checkout))
        with deepgaze2e.importable():
            import deepgaze_pytorch.training
        model = self.model()
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.Adam(parameters, lr=1e-3)
        scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[1], gamma=1e-9)  # one epoch

        def fit(dataset):
            loaders = [self.loader(dataset), 0.0, self.loader(self.dataset("val")), 0.0]
            folder = str(self.folder / name)
            deepgaze_pytorch.training._train(
                folder, model, *loaders, optimizer, scheduler, minimum_learning_rate=1e-6, device=torch.device("cpu")
            )
            return list(torch.load(f"{folder}/final.pth"))

        dataset = self.dataset("train")
        if augmentation is None:
            with with_trapz():
                return ending_of(model, configs=fit(dataset))
        p, weight = augmentation
        augmented_dataset = deepgaze2e.augmented_dataset(dataset, self.folder / "store", p=p)
        with deepgaze2e.augmented(model, editing_weight=weight) as hook:
            saved = fit(augmented_dataset)
            end = ending_of(model, configs=saved, passes=hook.passes, edited=hook.edited)
            if (p, weight) == (1, WEIGHT):
                end["step"] = self.step(model, augmented_dataset, hook)
        return end

    def model(self):
        import deepgaze_pytorch

        with random_backbones():
            return deepgaze2e.prepare(deepgaze_pytorch.DeepGazeIIE(pretrained=False))

    def dataset(self, split):
        from deepgaze_pytorch.data import FixationMaskTransform, ImageDataset

        paths = sorted((self.folder / f"data/images/{split}").iterdir())
        rows, columns, images = [], [], []
        for n, path in enumerate(paths):
            y, x = np.nonzero(np.array(PIL.Image.open(self.folder / f"data/fixations/{split}" / f"{path.stem}.png")))
            rows, columns, images = [*rows, *y], [*columns, *x], [*images, *[n] * len(x)]
        stimuli, fixations, centerbias = self.stimuli(
            [str(path) for path in paths], *map(np.array, (columns, rows, images))
        )
        return ImageDataset(
            stimuli, fixations, centerbias, transform=FixationMaskTransform(sparse=False), average="image"
        )

    def stimuli(self, names, x, y, n):
        if self.real:
            import pysaliency

            return (
                pysaliency.FileStimuli(names),
                pysaliency.Fixations.create_without_history(x, y, n),
                pysaliency.UniformModel(),
            )
        sizes = [PIL.Image.open(name).size[::-1] for name in names]
        return (
            SimpleNamespace(filenames=names, sizes=sizes),
            SimpleNamespace(x_int=x, y_int=y, n=n),
            SimpleNamespace(log_density=lambda image: np.full(image.shape[:2], -np.log(image[..., 0].size))),
        )

    def loader(self, dataset):
        from deepgaze_pytorch.data import ImageDatasetSampler

        return torch.utils.data.DataLoader(dataset, batch_sampler=ImageDatasetSampler(dataset, batch_size=2))

    def step(self, model, dataset, hook):
        batch = default_collate([dataset[0], dataset[1]])
        model.train()
        packed = torch.cat([batch["image"], batch["augsal_edit"], batch["augsal_mask"]], 1)
        centerbias, fixations = batch["centerbias"].double(), batch["fixation_mask"]

        def call(x):
            edit = {"augsal_edit": x[:, 3:6], "augsal_mask": x[:, 6:]} if x.shape[1] == 7 else {}
            return model(x[:, :3].contiguous(), centerbias, **edit)

        def objective(log_density):
            return -(log_density * fixations).sum((1, 2)).mean()

        def convert(log_density):
            density = log_density.exp()
            return (density / density.amax((-2, -1), keepdim=True))[:, None]

        null = DatasetProxy(
            dataset.dataset, StoredEdits(EditStore(self.folder / "null"), 1.0, 0), dataset.path, dataset.carry
        )
        items = [null[n] for n in range(len(null))]
        equal = all(np.array_equal(item["image"], item["augsal_edit"]) and item["augsal_mask"].any() for item in items)
        return {**step(hook, model, packed, call, objective, convert), "null pixels equal": equal}


class DeepGazeSingle(DeepGaze):
    """DeepGaze III without scanpaths, as the notebook trains it; its ``train()`` never sets ``training``."""

    size = (288, 384)  # at (96, 128) DenseNet's 1 × 2 pixels, normalised over space, are the same for any image

    def model(self):
        from deepgaze_pytorch.modules import DeepGazeIII, FeatureExtractor

        if not self.real:
            return DeepGazeIII(FeatureExtractor())
        from deepgaze_pytorch import deepgaze2e as parts
        from deepgaze_pytorch.features.densenet import RGBDenseNet201

        (config,) = (config for config in parts.BACKBONES if config["type"].endswith("RGBDenseNet201"))
        with random_backbones():
            features = FeatureExtractor(RGBDenseNet201(), config["used_features"])
        readout = parts.build_saliency_network(config["channels"]), None, parts.build_fixation_selection_network()
        return DeepGazeIII(features, *readout, readout_factor=4, saliency_map_factor=4)


@contextmanager
def random_backbones():
    """DeepGaze's backbones as they would be built, without the download of their weights."""
    import torchvision
    from deepgaze_pytorch.features import efficientnet_pytorch, shapenet

    net = efficientnet_pytorch.EfficientNet
    with ExitStack() as stack:
        for owner, name, value in (
            (torch.hub, "load", lambda repo, name, **kwargs: getattr(torchvision.models, name)(weights=None)),
            (net, "from_pretrained", net.from_name),
            (shapenet.model_zoo, "load_url", lambda *args, **kwargs: {"state_dict": {}}),
            (torch.nn.Module, "load_state_dict", lambda *args, **kwargs: None),
        ):
            stack.enter_context(replaced(owner, name, value))
        yield


UPSTREAMS = {
    "unisal": Unisal,
    "simplenet": SimpleNet,
    "tempsal": TempSAL,
    "deepgaze": DeepGaze,
    "deepgaze-single": DeepGazeSingle,
}


def checkout_of(name, kind):
    """Where the stand-in of an upstream is, or the real one, whose place an environment variable names."""
    if kind == "stand-in":
        return STAND_INS / UPSTREAMS[name].place
    variable = f"AUGSAL_UPSTREAM_{UPSTREAMS[name].place.upper()}"
    if variable not in os.environ:
        pytest.skip(f"upstream: set {variable} to a checkout to run")
    checkout = Path(os.environ[variable])
    marker = checkout / UPSTREAMS[name].marker
    assert marker.is_file(), f"{variable} is set, but there is no {marker}"
    return checkout


def in_child(function, *arguments):
    """The result of a call in a forked process."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def run():
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        sender.send(function(*arguments))

    process = context.Process(target=run)
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        raise SystemExit(f"the run {arguments} died; see above") from None
    finally:
        process.join()


def main():
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # theirs
    for name, checkout, folder in zip(*(sys.argv[first::3] for first in (1, 2, 3)), strict=True):
        try:
            ended = in_child(run_all, name, Path(checkout), Path(folder))
        except SystemExit as failure:
            print(failure, file=sys.stderr)
            ended = None
        print(json.dumps(ended), flush=True)


def run_all(name, checkout, folder):
    """What each of ``RUNS`` of an upstream ended in."""
    os.chdir(folder)
    copy = folder / "checkout"
    shutil.copytree(checkout, copy, ignore=shutil.ignore_patterns(".git", "__pycache__", "figures", "docs"))
    upstream = UPSTREAMS[name](copy, folder, real=checkout.parent != STAND_INS)
    for null in (False, True):
        fill(folder / ("null" if null else "store"), upstream.images, null=null)
    return {run: in_child(upstream.train, run, augmentation) for run, augmentation in RUNS.items()}


if __name__ == "__main__":
    main()
