import json
import os
import runpy
import shutil
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import PIL.Image
import pytest
import torch
from editor_training.gaze import PARTS, GazeParts
from editor_training.photographs import CROPS, crop_photographs, training_part
from helpers.forked import run_forked
from torchvision.transforms.v2.functional import pil_to_tensor, to_pil_image
from train_unisal_aug import scenes_or_folder

import augsal_transforms
from augsal_transforms import SaliencyEditor, SaliencyPredictor
from augsal_transforms.scenes.scenes import SceneDataset

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(script, *arguments, cwd):
    command = [sys.executable, str(EXAMPLES / script), *map(str, arguments)]
    return subprocess.run(command, check=True, cwd=cwd, capture_output=True, text=True).stdout


@pytest.fixture
def run_here(monkeypatch, capsys):
    """Run a script in this process, which has imported the libraries already; returns what it prints."""

    def run_here(script, *arguments, cwd):
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        with torch.random.fork_rng():
            runpy.run_path(str(EXAMPLES / script), run_name="__main__")
        return capsys.readouterr().out

    return run_here


def test_one_image_is_edited(tmp_path, run_here):
    output = run_here("edit_one_image.py", cwd=tmp_path)
    assert "contrast" in output
    with PIL.Image.open(tmp_path / "edit_one_image.png") as picture:
        assert picture.size[0] > 5 * 128


def test_training_with_and_without_augmentation(tmp_path, run_here):
    output = run_here("train_unisal_aug.py", "--smoke", cwd=tmp_path)
    assert "made 12 · reused 0" in output
    assert "the 2 images of the val split" in output
    assert "It does not say whether\naugmentation helps" in output
    losses = json.loads((tmp_path / "unisal-example" / "losses.json").read_text())
    assert {name: len(values) for name, values in losses.items()} == {"without": 1, "with": 1}
    with PIL.Image.open(tmp_path / "unisal-example" / "edits.png") as picture:
        assert picture.height > 4 * 192


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
    assert "random weights" in (tmp_path / "editor" / "README.md").read_text()


def looked_at(folder, count):
    """Write a data set of photographs, or what passes for them, in the layout of plain folders."""
    for kind, name in (("images", "image"), ("maps", "saliency_map")):
        (folder / kind).mkdir(parents=True)
        for sample in (SceneDataset(count, seed=79)[n] for n in range(count)):
            to_pil_image(sample[name]).save(folder / kind / f"{sample['image_id']}.png")
    return folder


@pytest.mark.slow
def test_the_bundled_models_can_be_trained_on_photographs_from_earlier_ones(tmp_path):
    assets, photographs = Path(augsal_transforms.__file__).parent / "assets", looked_at(tmp_path / "photographs", 6)
    given = ("--smoke", "--photographs", photographs, "--runs")
    editor, readouts = tmp_path / "editor", tmp_path / "readouts"
    start = ("--start", assets / "bundled", "--out", editor)
    run("train_bundled_editor.py", *given, tmp_path / "runs", *start, cwd=tmp_path)
    card = (editor / "README.md").read_text()
    assert "photographs of OSIE" in card
    assert "earlier editor" in card
    start = ("--start", assets / "readouts", "--editor", editor, "--out", readouts)
    run("train_bundled_readouts.py", *given, tmp_path / "readout-runs", *start, cwd=tmp_path)
    assert "earlier readouts" in (readouts / "README.md").read_text()
    SaliencyPredictor.from_pretrained(readouts, editor=SaliencyEditor.from_pretrained(str(editor)))


def test_crops_of_photographs_are_drawn_once_and_hold_whole_and_small_parts(tmp_path):
    crops = crop_photographs(looked_at(tmp_path / "photographs", 2), tmp_path / "crops.pt")
    assert crops.shape == (2 * CROPS, 3, 128, 128)
    assert crops.dtype == torch.uint8
    assert not torch.equal(crops[0], crops[1])
    shutil.rmtree(tmp_path / "photographs")
    assert torch.equal(crop_photographs(tmp_path / "photographs", tmp_path / "crops.pt"), crops)


def test_parts_with_gaze_are_whole_first_and_mirrored(tmp_path):
    folder = looked_at(tmp_path / "photographs", 2)
    parts = GazeParts(folder, tmp_path / "gaze.pt")
    assert len(parts) == 2 * 2 * (1 + PARTS)
    whole, mirrored = parts[0], parts[1]
    name = training_part(sorted(path.stem for path in (folder / "images").iterdir()))[0]
    with PIL.Image.open(folder / "images" / f"{name}.png") as picture:
        assert torch.equal(whole["image"], pil_to_tensor(picture))  # scenes have 128 px already
    for key in ("image", "saliency_map"):
        assert torch.equal(mirrored[key], whole[key].flip(-1))
    assert whole["saliency_map"].max() == 1
    assert parts[2]["image"].shape == (3, 128, 128)


def test_the_training_photographs_are_the_first_by_their_hash():
    # SHA-256 of "osie1001" begins with ffaa, of "osie1002" with 0a16, of "osie1003" with 5a9a.
    assert training_part(["1001", "1002", "1003"]) == ["1002", "1003", "1001"]


@pytest.mark.slow
def test_the_bundled_readouts_can_be_trained_again(tmp_path):
    arguments = ("--smoke", "--out", tmp_path / "readouts", "--runs", tmp_path / "runs")
    run("train_bundled_readouts.py", *arguments, cwd=tmp_path)
    assert (tmp_path / "readouts" / "augsal_readouts.safetensors").exists()
    assert "16 kinds of objects" in (tmp_path / "readouts" / "README.md").read_text()


def test_simplenet_is_trained_through_the_adapter(tmp_path):
    checkout = Path(__file__).parents[1] / "helpers" / "upstreams/simplenet"
    script = EXAMPLES / "train_simplenet_aug.py"
    run = run_forked(tmp_path, script, "--simplenet", checkout, "--smoke", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "edits found for 4 of 4 training images" in run.stdout
    assert "edited items in 2 training passes" in run.stdout


def test_a_folder_that_is_no_checkout_of_deepgaze_is_named(tmp_path, run_here, capsys):
    with pytest.raises(SystemExit) as stopped:
        run_here("train_deepgaze2e_aug.py", "--deepgaze", tmp_path, "--smoke", cwd=tmp_path)
    assert stopped.value.code == 2
    assert "has no deepgaze_pytorch" in capsys.readouterr().err


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
