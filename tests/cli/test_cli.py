import json

import numpy as np
import PIL.Image
import pytest
import torch
from torchvision.transforms.v2.functional import pil_to_tensor
from typer.testing import CliRunner

from augsal_transforms.cli import app


@pytest.fixture
def photo(tmp_path):
    generator = np.random.default_rng(0)
    pixels = generator.integers(60, 180, (6, 8, 3)).repeat(16, 0).repeat(16, 1).astype("uint8")
    field = np.zeros((48, 64), "uint8")
    field[12:36, 16:48] = 255
    PIL.Image.fromarray(pixels).save(tmp_path / "photo.png")
    PIL.Image.fromarray(field).save(tmp_path / "map.png")
    return tmp_path


def augsal(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_edit_writes_the_image_and_its_mask_and_prints_its_metadata(photo, sd1_folder):
    result = augsal(
        *("edit", photo / "photo.png", "--saliency-map", photo / "map.png", "--prompt", "a dog on the street"),
        *("--kind", "contrast", "--alpha", "1.5", "--out", photo / "out.png", "--editor", sd1_folder),
        *("--mask-out", photo / "mask.png"),
    )
    assert result.exit_code == 0, result.output
    assert "contrast α = 1.5 in the region of" in result.output
    assert "strength reached" in result.output
    before, after, mask = (pil_to_tensor(PIL.Image.open(photo / name)) for name in ("photo.png", "out.png", "mask.png"))
    outside = (mask == 0).expand_as(before)
    assert torch.equal(before[outside], after[outside])
    assert not torch.equal(before, after)


def test_edit_speaks_json(photo, sd1_folder):
    result = augsal(
        *("edit", photo / "photo.png", "--saliency-map", photo / "map.png", "--kind", "color", "--color", "blue"),
        *("--alpha", "0.4", "--out", photo / "out.png", "--editor", sd1_folder, "--json", "--seed", "3"),
    )
    metadata = json.loads(result.stdout)
    assert (metadata["kind"], metadata["color"], metadata["alpha"], metadata["seed"]) == ("color", "blue", 0.4, 3)
    assert metadata["region_source"] == "saliency_map"
    assert len(metadata["properties_after"]) == 6


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--kind", "blur"], "--kind must be among contrast, brightness, color"),
        (["--alpha", "-3"], "--contrast: `alpha` of Contrast"),
        (["--saliency-map", "absent.png"], "absent.png is not a readable image"),
        (["--editor", "nowhere"], "there is no such folder"),
    ],
)
def test_mistakes_are_one_line_and_exit_with_two(photo, sd1_folder, options, words):
    given = ["--saliency-map", photo / "map.png", "--editor", sd1_folder, "--out", photo / "out.png"]
    result = augsal("edit", photo / "photo.png", *given, *options)
    assert result.exit_code == 2
    assert words in result.output
    assert not (photo / "out.png").exists()


def test_calibrate_measures_a_model_and_writes_beside_it_or_elsewhere(tmp_path):
    from augsal_transforms.scenes.scenes import render_scene

    for index in range(32):
        image = render_scene(index, seed=900, size=64).image.permute(1, 2, 0).numpy()
        PIL.Image.fromarray(image).save(tmp_path / f"{index}.png")
    (tmp_path / ".DS_Store").write_text("not an image")
    result = augsal("calibrate", "--editor", "bundled", "--data", tmp_path, "--out", tmp_path / "calibration")
    assert result.exit_code == 0, result.output
    assert "32 images, R² =" in result.output
    assert "local_contrast" in result.output
    assert sorted(path.name for path in (tmp_path / "calibration").iterdir()) == [
        "augsal_calibration.json",
        "augsal_calibration.safetensors",
    ]


def test_calibrating_on_nothing_says_what_is_needed(tmp_path, sd1_folder):
    result = augsal("calibrate", "--editor", sd1_folder, "--data", tmp_path)
    assert result.exit_code == 2
    assert "32 or more" in result.output


def test_scenes_are_written_as_a_data_set_and_never_over_another(tmp_path):
    result = augsal("scenes", "--out", tmp_path / "scenes", "--count", "2", "--seed", "8", "--size", "48")
    assert result.exit_code == 0, result.output
    assert "2 scenes" in result.output
    assert len(list((tmp_path / "scenes" / "images" / "train").glob("*.jpg"))) == 2
    again = augsal("scenes", "--out", tmp_path / "scenes", "--count", "2", "--size", "48")
    assert again.exit_code == 2
    assert "exists already" in again.output


def test_evaluate_scores_a_model_and_a_folder_of_its_maps_alike(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_model.py").write_text("def centre(image):\n    return image[:1] * 0 + image.mean(0, True)\n")
    augsal("scenes", "--out", tmp_path / "scenes", "--count", "2", "--split", "val", "--size", "48")
    options = ("--data", tmp_path / "scenes", "--edition", "series 0", "--preset", "mit_matlab")
    result = augsal("evaluate", "--model", "own_model:centre", *options, "--out", tmp_path / "scores.json")
    assert result.exit_code == 0, result.output
    assert "own_model:centre on" in result.stdout
    assert "edition series 0: 2 images, 384 fixations; definitions of 'mit_matlab'" in result.stdout
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert f"nss           {scores['metrics']['nss']['mean']:8.4f}  mean at fixations" in result.stdout

    for path in (tmp_path / "scenes" / "images" / "val").glob("*.jpg"):
        pixels = np.asarray(PIL.Image.open(path), float).mean(2)
        (tmp_path / "maps").mkdir(exist_ok=True)
        PIL.Image.fromarray(pixels.round().astype("uint8")).save(tmp_path / "maps" / f"{path.stem}.png")
    assert augsal("evaluate", "--pred", "maps", *options, "--out", tmp_path / "stored.json").exit_code == 0
    stored = json.loads((tmp_path / "stored.json").read_text())
    for metric in ("cc", "sim", "kld", "nss"):
        assert stored["metrics"][metric]["mean"] == pytest.approx(scores["metrics"][metric]["mean"], abs=5e-3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "give either --pred, a folder of maps, or --model"),
        (["--model", "bundled", "--pred", "."], "give either"),
        (["--model", "nowhere:model"], "there is no module 'nowhere' here"),
        (["--model", "bundled", "--preset", "mit"], "`preset` must be one of"),
        (["--pred", "nowhere"], "nowhere has no prediction of 1 of 1 images"),
    ],
)
def test_evaluate_says_what_is_missing(tmp_path, options, words):
    augsal("scenes", "--out", tmp_path / "scenes", "--count", "1", "--size", "48")
    result = augsal("evaluate", "--data", tmp_path / "scenes", *options)
    assert result.exit_code == 2
    assert words in result.output
