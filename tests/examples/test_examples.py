import os
import shutil
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import PIL.Image
import pytest
from torchvision.transforms.v2.functional import to_pil_image
from train_unisal_aug import scenes_or_folder

from augsal_transforms.scenes.scenes import SceneDataset

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(script, *arguments, cwd):
    command = [sys.executable, str(EXAMPLES / script), *map(str, arguments)]
    return subprocess.run(command, check=True, cwd=cwd, capture_output=True, text=True).stdout


def test_one_image_is_edited(tmp_path):
    output = run("edit_one_image.py", cwd=tmp_path)
    assert "contrast" in output
    with PIL.Image.open(tmp_path / "edited.png") as picture:
        assert picture.size[0] > 5 * 128


def test_training_with_and_without_augmentation(tmp_path):
    output = run("train_unisal_aug.py", "--smoke", cwd=tmp_path)
    assert "without" in output
    assert "8 held-out scenes" in output
    assert (tmp_path / "edits.png").exists()


def test_a_folder_without_a_val_split_is_measured_on_its_training_images(tmp_path):
    for kind, name in (("images", "image"), ("maps", "saliency_map")):
        (tmp_path / kind / "train").mkdir(parents=True)
        for sample in (SceneDataset(4, seed=77)[n] for n in range(4)):
            to_pil_image(sample[name]).save(tmp_path / f"{kind}/train/{sample['image_id']}.png")
    training, held_out, where = scenes_or_folder(Namespace(data=tmp_path))
    assert len(training) == 4
    assert held_out is training
    assert "no val split" in where
    (tmp_path / "images/train").rename(tmp_path / "images/val")
    (tmp_path / "maps/train").rename(tmp_path / "maps/val")
    for kind in ("images", "maps"):
        shutil.copytree(tmp_path / kind / "val", tmp_path / kind / "train")
        min((tmp_path / kind / "val").iterdir()).unlink()
    _, held_out, where = scenes_or_folder(Namespace(data=tmp_path))
    assert len(held_out) == 3
    assert where == "the 3 images of the val split"


@pytest.mark.slow
def test_the_exact_sd15_configuration_edits_a_512_px_image_on_the_cpu(tmp_path):
    output = run("../benchmarks/sd15_on_cpu.py", "--folder", tmp_path / "sd15", cwd=tmp_path)
    assert "U-Net 859.52 M, VAE 83.65 M, text encoder 123.06 M" in output
    assert "region (1, 16, 16), latent (1, 4, 64, 64)" in output
    assert "equal to the bit: True" in output
    assert float(output.split("peak memory ")[1].split()[0]) < 24


@pytest.mark.slow
def test_the_bundled_editor_can_be_trained_again(tmp_path):
    run("train_bundled_editor.py", "--smoke", "--out", tmp_path / "editor", "--runs", tmp_path / "runs", cwd=tmp_path)
    assert (tmp_path / "editor" / "augsal_calibration.safetensors").exists()


@pytest.mark.slow
def test_the_bundled_readouts_can_be_trained_again(tmp_path):
    arguments = ("--smoke", "--out", tmp_path / "readouts", "--runs", tmp_path / "runs")
    run("train_bundled_readouts.py", *arguments, cwd=tmp_path)
    assert (tmp_path / "readouts" / "augsal_readouts.safetensors").exists()
    assert "16 kinds of objects" in (tmp_path / "readouts" / "README.md").read_text()


def test_simplenet_is_trained_through_the_adapter(tmp_path):
    checkout = Path(__file__).parents[1] / "helpers" / "upstreams/simplenet"
    output = run("train_simplenet_aug.py", "--simplenet", checkout, "--smoke", cwd=tmp_path)
    assert "edits found for 4 of 4 training images" in output
    assert "edited items in 2 training passes" in output


@pytest.mark.upstream
@pytest.mark.slow
@pytest.mark.parametrize("name", ["unisal", "simplenet", "tempsal", "deepgaze"])
def test_the_real_upstreams_are_trained_through_their_adapters(tmp_path, name):
    checkout = os.environ.get(f"AUGSAL_UPSTREAM_{name.upper()}")
    if not checkout:
        pytest.skip(f"upstream: set AUGSAL_UPSTREAM_{name.upper()} to a checkout to run")
    script = "train_deepgaze2e_aug.py" if name == "deepgaze" else f"train_{name}_aug.py"
    output = run(script, f"--{name}", checkout, "--smoke", cwd=tmp_path)
    assert "edits found for 4 of 4 training images" in output
    assert "edited items in 2 training passes" in output
