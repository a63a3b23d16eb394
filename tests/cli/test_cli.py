import json
import sys
from importlib.metadata import version

import numpy as np
import PIL.Image
import pytest
import torch
import typer
from torchvision.transforms.v2.functional import pil_to_tensor
from typer.testing import CliRunner

import augsal_transforms
from augsal_transforms import SaliencyPredictor
from augsal_transforms.cli import app
from augsal_transforms.data.layouts import LAYOUTS


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


@pytest.mark.parametrize(("margin", "code"), [("0", 0), ("5", 3)])
def test_edit_keeps_what_raises_the_predicted_saliency_and_nothing_else(photo, sd1_folder, margin, code):
    result = augsal(
        *("edit", photo / "photo.png", "--saliency-map", photo / "map.png", "--kind", "color", "--out"),
        *(photo / "out.png", "--editor", sd1_folder, "--raise-saliency", "most", "--margin", margin, "--json"),
    )
    assert result.exit_code == code, result.output
    found = json.loads(result.stdout)
    rises = [trial["rise"] for trial in found["tried"]]
    assert found["rise"] == max(rises)
    assert (max(rises) > float(margin)) is (code == 0)
    assert ("none of the 4 candidates raises" in result.stderr) is (code == 3)
    assert (photo / "out.png").exists() is (code == 0)


def test_edit_without_a_map_takes_a_predictors(photo, sd1_folder):
    given = ["edit", photo / "photo.png", "--kind", "color", "--editor", sd1_folder, "--out"]
    result = augsal(*given, photo / "out.png", "--mask-out", photo / "mask.png")
    assert result.exit_code == 0, result.output
    image, mask = (pil_to_tensor(PIL.Image.open(photo / name)) for name in ("photo.png", "mask.png"))
    (predicted,) = SaliencyPredictor.from_pretrained("photographs").predict([image])
    assert predicted[mask > 0].mean() > predicted[mask == 0].mean()
    for options, words in (
        (("--predictor", "nowhere"), "nowhere holds no predictor"),
        (("--predictor", "bundled", "--saliency-map", photo / "map.png"), "for --raise-saliency, or an image without"),
    ):
        result = augsal(*given, photo / "other.png", *options)
        assert result.exit_code == 2
        assert words in result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--kind", "blur"], "A kind of your own is named with its module, as in my_module:"),
        (["--kind", "json:blur"], "got 'blur'. The module 'json' defines no kind of this name."),
        (["--alpha", "-3"], "--alpha: `alpha` of Contrast"),
        (["--kind", "contrast=1.5", "--alpha", "2"], "--kind contrast=1.5 and --alpha 2.0 name two values"),
        (["--kind", "color=red", "--color", "blue"], "--kind color=red and --color, --alpha blue name two values"),
        (["--kind", "color", "--color", "teal"], "--color, --alpha: `color` must be among red"),
        (["--saliency-map", "absent.png"], "absent.png is not a readable image"),
        (["--editor", "nowhere"], "--editor: `name` must be 'bundled'"),
    ],
)
def test_mistakes_are_one_line_and_exit_with_two(photo, sd1_folder, options, words):
    given = ["--saliency-map", photo / "map.png", "--editor", sd1_folder, "--out", photo / "out.png"]
    result = augsal("edit", photo / "photo.png", *given, *options)
    assert result.exit_code == 2
    assert words in result.output
    assert not (photo / "out.png").exists()


@pytest.mark.parametrize(
    ("options", "pixels", "words"),
    [
        ((), 0, "the saliency map is 0 everywhere"),
        (("--alpha", "1"), 255, "α = 1 changes nothing"),
    ],
)
def test_nothing_to_edit_exits_with_three_and_writes_nothing(photo, sd1_folder, options, pixels, words):
    PIL.Image.new("L", (64, 48), pixels).save(photo / "flat.png")
    before = sorted(photo.iterdir())
    result = augsal(
        *("edit", photo / "photo.png", "--saliency-map", photo / "flat.png", "--out", photo / "out.png", *options),
        *("--mask-out", photo / "mask.png", "--editor", sd1_folder),
    )
    assert result.exit_code == 3
    assert f"nothing was edited: {words}" in result.stderr
    assert sorted(photo.iterdir()) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--out", "photo.png"), "photo.png is an input of this command"),
        (("--out", "map.png", "--overwrite"), "map.png is an input of this command"),
        (("--out", "other.png"), "other.png exists already"),
        (("--out", "out.png", "--mask-out", "./out.png"), "--out and --mask-out name one file"),
        (("--out", "out.txt"), "--out must end in .png, .jpg"),
        (("--out", "out.png", "--mask-out", "mask.json"), "--mask-out must end in .png"),
        (("--out", "other.png/out.png"), "is a file, so that"),
        (("--out", "out.png", "--device", "cuda:77"), "--device: `device`"),
        (("--out", "out.png", "--device", "meta"), "--device must be auto, cpu"),
        (("--out", "out.png", "--color", "blue"), "--color is the target of --kind color"),
        (("--out", "out.png", "--kind", "contrast,brightness"), "--kind must be one kind"),
    ],
)
def test_edit_refuses_before_it_works(photo, monkeypatch, options, words):
    monkeypatch.chdir(photo)
    PIL.Image.new("RGB", (4, 4)).save("other.png")
    before = {path: path.read_bytes() for path in photo.iterdir()}
    result = augsal("edit", "photo.png", "--saliency-map", "map.png", "--editor", "nowhere", *options)
    assert result.exit_code == 2
    assert words in result.stderr
    assert {path: path.read_bytes() for path in photo.iterdir()} == before


def test_the_version_is_that_of_the_distribution():
    assert augsal("--version").stdout == f"augsal-transforms {version('augsal-transforms')}\n"
    assert augsal_transforms.__version__ == version("augsal-transforms")


def test_help_lists_what_the_package_knows_and_shows_the_names_of_extras():
    layouts = f"auto, or one of {', '.join(LAYOUTS)}"
    assert layouts in " ".join(augsal("check-data", "--help").output.split())
    assert "salicon, tuebingen, mit_matlab, augsal" in " ".join(augsal("evaluate", "--help").output.split())
    shown = " ".join(augsal("generate", "--help").output.split())
    assert "(the extra [ray])" in shown
    assert "contrast, brightness, color, or MODULE:KIND" in " ".join(augsal("edit", "--help").output.split())


@pytest.mark.parametrize("command", [command.name or command.callback.__name__ for command in app.registered_commands])
def test_json_is_a_flag_of_every_command_and_editor_and_device_have_one_default(command):
    group = typer.main.get_command(app)
    options = {option.name: option for option in group.commands[command.replace("_", "-")].params}
    assert options["as_json"].is_flag
    if command not in ("doctor", "gallery"):  # there it is a model that must be there, or one beside the store
        assert "editor" not in options or options["editor"].default == "sd-v1-5"
    assert "device" not in options or options["device"].default == "auto"


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
    assert "32 images or more" in result.output


@pytest.mark.parametrize("options", [("--size", "0"), ("--count", "-3"), ("--count", "0"), ("--size", "9999999")])
def test_sizes_and_counts_of_scenes_are_checked(tmp_path, options):
    result = augsal("scenes", "--out", tmp_path / "scenes", *options)
    assert result.exit_code == 2
    assert options[0] in result.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("prompt", "is_known"), [("a red-ball", True), ("a ball's", True), ("a dachshund", False)])
def test_a_word_that_the_bundled_editor_never_saw_is_named(photo, prompt, is_known):
    given = ("edit", photo / "photo.png", "--saliency-map", photo / "map.png", "--prompt", prompt)
    result = augsal(*given, "--editor", "bundled", "--device", "cpu", "--out", photo / "out.png")
    assert result.exit_code == 0, result.output
    assert ("'dachshund' is none of them, so its region is a guess" in result.stderr) != is_known


def test_scenes_are_written_as_a_data_set_and_never_over_another(tmp_path):
    out = tmp_path / "my scenes"
    result = augsal("scenes", "--out", out, "--count", "2", "--seed", "8", "--size", "48")
    assert result.exit_code == 0, result.output
    assert "2 scenes" in result.output
    assert f"augsal generate --data '{out}' --split train" in result.output  # as it can be pasted
    assert len(list((out / "images" / "train").glob("*.jpg"))) == 2
    again = augsal("scenes", "--out", out, "--count", "2", "--size", "48")
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
    assert f"nss           ↑ {scores['metrics']['nss']['mean']:8.4f}  mean at fixations" in result.stdout

    for path in (tmp_path / "scenes" / "images" / "val").glob("*.jpg"):
        pixels = np.asarray(PIL.Image.open(path), float).mean(2)
        (tmp_path / "maps").mkdir(exist_ok=True)
        PIL.Image.fromarray(pixels.round().astype("uint8")).save(tmp_path / "maps" / f"{path.stem}.png")
    assert augsal("evaluate", "--pred", "maps", *options, "--out", tmp_path / "stored.json").exit_code == 0
    stored = json.loads((tmp_path / "stored.json").read_text())
    for metric in ("cc", "sim", "kld", "nss"):
        assert stored["metrics"][metric]["mean"] == pytest.approx(scores["metrics"][metric]["mean"], abs=5e-3)


def test_evaluate_writes_over_no_file_and_refuses_before_it_works(tmp_path):
    (tmp_path / "map.png").write_bytes(b"kept")
    result = augsal("evaluate", "--data", tmp_path / "nowhere", "--model", "bundled", "--out", tmp_path / "map.png")
    assert result.exit_code == 2
    assert "map.png exists already" in result.stderr
    assert (tmp_path / "map.png").read_bytes() == b"kept"


def test_an_unreadable_image_is_left_out_and_an_earlier_result_replaced(tmp_path):
    augsal("scenes", "--out", tmp_path / "scenes", "--count", "2", "--size", "48")
    maps, out = tmp_path / "scenes" / "maps" / "train", tmp_path / "new" / "scores.json"
    command = ("evaluate", "--data", tmp_path / "scenes", "--pred", maps, "--out", out)
    result = augsal(*command)
    assert result.exit_code == 0, result.output
    assert json.loads(augsal(*command, "--json").stdout)["metrics"]["cc"]["mean"] == pytest.approx(1)
    image = min((tmp_path / "scenes" / "images" / "train").iterdir())
    image.write_bytes(image.read_bytes()[:99])
    result = augsal(*command)
    assert result.exit_code == 3
    assert "1 images could not be read and were left out" in result.stdout
    assert list(json.loads(out.read_text())["failures"]) == [image.stem]


@pytest.mark.parametrize("code", ["raise ValueError('at import')", "def f(image):\n    return image.nothing"])
def test_an_exception_of_the_users_own_model_is_shown_with_its_traceback(tmp_path, monkeypatch, code):
    name = f"own_model_{len(code)}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / f"{name}.py").write_text(code)
    augsal("scenes", "--out", tmp_path / "scenes", "--count", "1", "--size", "48")
    result = augsal("evaluate", "--data", tmp_path / "scenes", "--model", f"{name}:f")
    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert f"{name}.py" in result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "give either --pred, a folder of maps, or --model"),
        (["--model", "bundled", "--pred", "."], "give either"),
        (["--model", "nowhere:model"], "there is no module 'nowhere' here"),
        (["--model", "bundled", "--preset", "mit"], "`preset` must be one of"),
        (["--pred", "nowhere"], "nowhere is not a folder of predictions"),
    ],
)
def test_evaluate_says_what_is_missing(tmp_path, options, words):
    augsal("scenes", "--out", tmp_path / "scenes", "--count", "1", "--size", "48")
    result = augsal("evaluate", "--data", tmp_path / "scenes", *options)
    assert result.exit_code == 2
    assert words in result.output
