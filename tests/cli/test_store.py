import json
import os
import sys

import pytest
from helpers.datasets import write_folder
from helpers.records import filled
from typer.testing import CliRunner

from augsal_transforms import Brightness, Color, Contrast, EditStore
from augsal_transforms.cli import app
from augsal_transforms.cli.kinds import parse_edits
from augsal_transforms.cli.opening import open_editor


@pytest.fixture
def store(tmp_path):
    return filled(EditStore(tmp_path / "store"))


def augsal(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [Contrast((1.2, 1.8)), Brightness((0.05, 0.25)), Color(alpha=(0.3, 0.8))]),
        ({"kinds": "color,contrast", "contrast": "1.5"}, [Color(alpha=(0.3, 0.8)), Contrast(1.5)]),
        ({"kinds": "color", "color": "red,blue:0.3:0.5"}, [Color(("red", "blue"), (0.3, 0.5))]),
        ({"kinds": "color", "color": "red:0.4"}, [Color("red", 0.4)]),
        ({"kinds": "color", "color": "red"}, [Color("red")]),
        (
            {"kinds": "contrast=1.5, color=red,blue:0.3:0.5,brightness"},
            [Contrast(1.5), Color(("red", "blue"), (0.3, 0.5)), Brightness()],
        ),
        ({"kinds": "color=pink,green"}, [Color(("pink", "green"))]),
        ({"kinds": "brightness", "brightness": "-0.2:-0.1"}, [Brightness((-0.2, -0.1))]),
    ],
)
def test_kinds_and_their_alphas_are_read_as_they_are_typed(options, expected):
    values = {kind: text for kind, text in options.items() if kind != "kinds"}
    assert parse_edits(options.get("kinds", "contrast,brightness,color"), "--kinds", values) == expected


def test_generate_fills_a_store_and_tells_it_in_a_line(tmp_path, sd1_folder):
    data = write_folder(tmp_path / "data", 3)
    given = ("generate", "--data", data, "--store", tmp_path / "store", "--editor", sd1_folder, "--device", "cpu")
    told = augsal(*given, "--dry-run", "--json")
    estimate = json.loads(told.stdout)
    assert (estimate["images"], estimate["edits"]) == (3, 9)
    assert not (tmp_path / "store").exists()
    (data / "images" / "train" / "without a map.png").write_bytes((data / "images/train/photo-0.png").read_bytes())
    told = augsal(*given, "--dry-run").stdout
    assert (
        f"captions of 3 of 3 images, 1 images left out (no map, or a name shared by two files); editor {sd1_folder}"
        in told
    )
    assert "9 edits of 3 images are to be made" in told
    assert "made 6 · reused 0 · not raised 0 · refused 0 · failed 0" in augsal(*given, "--limit", 2).stdout
    nothing = augsal(*given, "--limit", 2, "--dry-run").stdout
    assert nothing.endswith("Nothing is left to be made of the images that can be read.\n")
    assert "cannot be read. Without" not in nothing
    (data / "images" / "train" / "photo-2.png").write_bytes(b"no image")
    unreadable = augsal(*given, "--dry-run").stdout
    assert "1 images cannot be read. Without --dry-run their names and the reasons are listed.\nNothing" in unreadable
    result = augsal(*given, "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout) == {"made": 0, "reused": 6, "not_raised": 0, "refused": 0, "failed": 1}


def test_generate_predicts_the_maps_of_images_that_have_none(tmp_path, sd1_folder):
    data = write_folder(tmp_path / "data", 2) / "images" / "train"
    given = ("generate", "--data", data, "--store", tmp_path / "store", "--editor", sd1_folder, "--device", "cpu")
    unmapped = augsal(*given)
    assert unmapped.exit_code == 2
    assert "--predict-maps of `augsal generate`" in unmapped.stderr
    result = augsal(*given, "--kinds", "contrast", "--predict-maps")
    assert "images with predicted maps, train: captions of 0 of 2 images" in result.stdout
    assert "made 2 · reused 0" in result.stdout
    refused = augsal(*given, "--predict-maps", "--sigma", 24)
    assert refused.exit_code == 2
    assert "give one of the two" in refused.stderr


def test_generate_stores_what_raises_saliency_and_says_how_many_edits_did_not(tmp_path, sd1_folder):
    store = tmp_path / "store"
    given = ("generate", "--data", write_folder(tmp_path / "data", 3), "--store", store, "--editor", sd1_folder)
    given += ("--device", "cpu", "--kinds", "color", "--raise-saliency", "first", "--predictor", "bundled")
    counts = json.loads(augsal(*given, "--json").stdout)
    assert counts["made"] + counts["not_raised"] == 3
    told = augsal(*given).stdout
    assert f"made 0 · reused {counts['made']} · not raised {counts['not_raised']}" in told
    assert f"raised {counts['made']}, not raised {counts['not_raised']}" in augsal("stats", "--store", store).stdout


def test_kinds_without_a_value_are_the_usual_ones():
    usual = (Contrast(1.1), Brightness(-0.1))
    values = {"brightness": "0.2"}
    found = parse_edits("contrast,brightness,color=red:0.3", "--kinds", values, usual=usual)
    assert found == [Contrast(1.1), Brightness(0.2), Color("red", 0.3)]
    assert parse_edits("color", usual=usual) == [Color()]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--predictor", "bundled"], "--predictor with it or with --predict-maps"),
        (["--kinds", "blur"], "--kinds must be among contrast, brightness, color"),
        (["--contrast", "strong"], "--contrast: "),
        (["--contrast", "9"], "`alpha` of Contrast"),
        (["--color", "mauve:0.3"], "`color` must be among"),
        (["--kinds", "contrast,contrast=1.5"], "names 'contrast' twice"),
        (["--kinds", "contrast=1.5", "--contrast", "1.2"], "name two values"),
        (["--raise-saliency", "always"], "--raise-saliency must be first or most, got 'always'"),
        (["--margin", "0.1"], "--margin goes with --raise-saliency"),
        (["--raise-saliency", "first", "--margin", "-1"], "--margin must be"),
        (["--kinds", ""], "--kinds must name an edit"),
        (["--kinds", "no_module_here:blur"], "there is no module 'no_module_here'"),
        (["--device", "tpu-9"], "--device: `device`"),
        (["--store", "file/store"], "is a file, so that"),
        (["--shard", "3/2"], "--shard must be i/n"),
        (["--engine", "spark"], "--engine must be scan or ray"),
        (["--dtype", "int8"], "--dtype must be auto"),
        (["--data", "nowhere"], "nowhere is not a folder"),
    ],
)
def test_mistakes_in_generate_are_one_line_and_exit_with_two(tmp_path, monkeypatch, sd1_folder, options, words):
    data = write_folder(tmp_path / "data", 1)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    given = ["--data", data, "--store", tmp_path / "store", "--editor", sd1_folder, "--device", "cpu"]
    result = augsal("generate", *given, *options)
    assert result.exit_code == 2
    assert words in result.output
    assert not (tmp_path / "store").exists()


BLUR = """
from dataclasses import dataclass
import torch
from augsal_transforms.editor.edits import Edit

@dataclass(frozen=True)
class Blur(Edit):
    kind = "cli_toy_blur"
    identity = 0.0
    alpha_range = (0.0, 1.0)
    alpha_span = 1.0
    alpha: float | tuple[float, float] = (0.5, 1.0)

    def edit_latent(self, latent, latent_mask, properties, calibration, config):
        return torch.lerp(latent, latent.mean((-2, -1), keepdim=True), self.alpha_value * latent_mask)
"""


def test_a_kind_from_a_module_of_the_users_is_made_and_used_for_one_image(tmp_path, monkeypatch, sd1_folder):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "my_blur_for_the_cli.py").write_text(BLUR)
    data, made = write_folder(tmp_path / "data", 1), ("--editor", sd1_folder, "--device", "cpu")
    kinds = ("--kinds", "contrast=1.5,my_blur_for_the_cli:cli_toy_blur=0.5")
    result = augsal("generate", "--data", data, "--store", "store", *made, *kinds)
    assert result.exit_code == 0, result.output
    assert "made 2 · reused 0" in result.stdout
    counted = json.loads(augsal("stats", "--store", "store", "--json").stdout)["kinds"]
    assert counted == {"cli_toy_blur": 1, "contrast": 1}
    one = (
        "edit",
        data / "images/train/photo-0.png",
        "--saliency-map",
        data / "maps/train/photo-0.png",
        "--out",
        "e.png",
    )
    result = augsal(*one, *made, "--kind", "cli_toy_blur", "--alpha", 0.75)
    assert result.exit_code == 0, result.output
    assert "cli_toy_blur α = 0.75 in" in result.stdout


def test_verify_names_what_is_damaged_and_repair_deletes_it(store):
    assert augsal("verify", "--store", store.folder).stdout == "8 sound · 0 damaged\n"
    path = next(store.records())
    path.write_bytes(path.read_bytes()[:-1])
    result = augsal("verify", "--store", store.folder)
    assert result.exit_code == 3
    assert result.stdout == f"damaged: {path}\n7 sound · 1 damaged\n"
    result = augsal("verify", "--store", store.folder, "--repair")
    assert result.exit_code == 0
    assert result.stdout == f"damaged: {path}, deleted\n7 sound · 1 damaged\n"
    assert not path.exists()


def test_stats_gc_and_pack_tell_what_they_found(store, tmp_path):
    assert json.loads(augsal("stats", "--store", store.folder, "--json").stdout)["edits"] == 8
    assert "8 edits of 2 images" in augsal("stats", "--store", store.folder).stdout
    leftover = next(store.records()).with_suffix(".incomplete")
    leftover.write_bytes(b"half")
    os.utime(leftover, (0, 0))
    assert augsal("gc", "--store", store.folder).stdout == "1 deleted\n"
    assert "1 file in" in augsal("pack", "--store", store.folder, "--out", tmp_path / "tars").stdout
    again = augsal("pack", "--store", store.folder, "--out", tmp_path / "tars")
    assert again.exit_code == 2
    assert "already" in again.output


@pytest.mark.parametrize("command", ["verify", "stats", "gc", "pack"])
def test_a_store_that_is_not_there_is_a_mistake(command, tmp_path):
    more = ["--out", tmp_path / "tars"] if command == "pack" else []
    result = augsal(command, "--store", tmp_path / "absent", *more)
    assert result.exit_code == 2
    assert "no store of edits" in result.output


def test_a_store_that_a_killed_run_left_without_an_edit_is_looked_after(tmp_path):
    (tmp_path / "store" / "claims").mkdir(parents=True)
    claim = tmp_path / "store" / "claims" / ("0" * 32)
    claim.touch()
    os.utime(claim, (0, 0))
    assert augsal("stats", "--store", tmp_path / "store").stdout.startswith("0 edits of 0 images, 0 bytes")
    assert augsal("verify", "--store", tmp_path / "store").stdout == "0 sound · 0 damaged\n"
    assert augsal("gc", "--store", tmp_path / "store", "--json").stdout == '{"deleted": 1}\n'
    assert augsal("gc", "--store", tmp_path / "store", "--minutes", "nan").exit_code == 2
    packed = augsal("pack", "--store", tmp_path / "store", "--out", tmp_path / "tars")
    assert packed.exit_code == 2
    assert "augsal generate" in packed.stderr


def test_a_batch_on_the_cpu_is_of_eight_unless_it_is_said(sd1_folder):
    batches = [open_editor(str(sd1_folder), "cpu", "auto", size, compile=bool(size)).batches for size in (None, 3)]
    assert [(batch.size, batch.filled) for batch in batches] == [(8, False), (3, True)]
