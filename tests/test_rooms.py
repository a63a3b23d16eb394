"""A new kind of edit, layout or metric is one definition in one place, and everything else finds it."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from helpers.datasets import write_folder
from helpers.pictures import blob, picture
from typer.testing import CliRunner

from augsal_transforms import EditStore, SaliencyDiffusionAugment
from augsal_transforms.cli import app
from augsal_transforms.data.fixations import read_fixations
from augsal_transforms.data.layouts import LAYOUTS, Files, Layout, list_files, open_layout
from augsal_transforms.metrics.table import METRICS, Metric


@pytest.fixture
def blur():
    """A kind that is defined when its module is imported."""
    sys.modules.pop("helpers.blur_edit", None)
    from helpers.blur_edit import Blur

    return Blur


def augsal(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_new_kind_of_edit_goes_through_the_transform(blur, editor):
    sample = {"image": picture(dtype=torch.uint8), "saliency_map": blob(), "prompt": "a red dog on the street"}
    edited = SaliencyDiffusionAugment(editor=editor, p=1.0, seed=0, edits=[blur()])(sample)
    assert edited["is_edited"]
    assert edited["edit_kind"] == "blur"
    assert 0.5 <= float(edited["edit_alpha"]) <= 1.0
    changed = (edited["edited_image"] != edited["image"]).any(0)
    assert changed.any()
    assert not (changed & (edited["edit_mask"][0] == 0)).any()


def test_a_new_kind_of_edit_goes_from_the_command_line_into_a_store_and_back(blur, sd1_folder, tmp_path):
    data, store = write_folder(tmp_path / "data", 2), tmp_path / "store"
    command = ("generate", "--data", data, "--store", store, "--editor", sd1_folder, "--kinds")
    augsal(*command, "contrast,blur=0.5:1.0")
    assert json.loads(augsal("stats", "--store", store, "--json"))["kinds"] == {"blur": 2, "contrast": 2}
    again = augsal(*command, "contrast,blur=0.5:1.0", "--json")
    assert json.loads(again.splitlines()[-1])["reused"] == 4
    dataset = open_layout(data)
    image = torch.from_numpy(np.array(dataset[0]["image"])).movedim(-1, 0)
    assert [entry.kind for entry in EditStore(store).list_edits(image)] == ["blur", "contrast"]
    augment = SaliencyDiffusionAugment(store=store, p=1.0, seed=0)
    kinds = set()
    for epoch in range(12):
        augment.set_epoch(epoch)
        kinds.add(augment(dataset[0])["edit_kind"])
    assert kinds == {"blur", "contrast"}


def test_a_new_kind_of_edit_edits_one_image_at_the_command_line(blur, sd1_folder, tmp_path):
    data = write_folder(tmp_path / "data", 1)
    image, out = data / "images/train/photo-0.png", tmp_path / "out.png"
    printed = augsal(
        *("edit", image, "--saliency-map", data / "maps/train/photo-0.png", "--out", out, "--prompt", "a red dog"),
        *("--kind", "blur", "--alpha", "1", "--editor", sd1_folder, "--json"),
    )
    assert json.loads(printed.splitlines()[-1])["kind"] == "blur"
    assert np.any(np.array(PIL.Image.open(out)) != np.array(PIL.Image.open(image)))


def find_toy(folder: Path, split: str) -> Files:
    """pictures/NAME.png, heat/NAME.png and looks/NAME.png."""
    if split != "train":
        return Files([], [])
    named = ([(path.stem, path) for path in list_files(folder / part)] for part in ("pictures", "heat", "looks"))
    return Files(*named)


@pytest.fixture
def toy_data(monkeypatch, tmp_path):
    """A data set that no layout of the package recognises."""
    made = write_folder(tmp_path / "made", 3)
    folder = tmp_path / "toy"
    shutil.move(made / "images" / "train", folder / "pictures")
    shutil.move(made / "maps" / "train", folder / "heat")
    (folder / "looks").mkdir()
    for n in range(3):
        fixation_map = np.zeros((32, 40), np.uint8)
        fixation_map[10 + n, 20] = 255
        PIL.Image.fromarray(fixation_map).save(folder / "looks" / f"photo-{n}.png")
    monkeypatch.setitem(LAYOUTS, "toy", Layout("toy", "pictures/NAME.png, heat/NAME.png, looks/NAME.png", find_toy))
    return folder


def test_a_new_layout_is_recognised_with_its_fixations(toy_data, sd1_folder, tmp_path):
    dataset = open_layout(toy_data)
    assert (dataset.layout, dataset.names) == ("toy", ["photo-0", "photo-1", "photo-2"])
    assert {name: points.tolist() for name, points in read_fixations(dataset).items()} == {
        f"photo-{n}": [[20, 10 + n]] for n in range(3)
    }
    report = json.loads(augsal("check-data", toy_data, "--json"))
    assert (report["layout"], report["pairs"], report["fixations"], report["problems"]) == ("toy", 3, 3, [])
    assert "toy" in augsal("generate", "--help")
    store = tmp_path / "store"
    augsal("generate", "--data", toy_data, "--store", store, "--editor", sd1_folder, "--kinds", "contrast")
    assert json.loads(augsal("stats", "--store", store, "--json"))["images"] == 3


def test_a_new_metric_is_scored_and_explained(toy_data, monkeypatch):
    def mean_error(prediction, saliency_map, *, preset):
        return (prediction.double() - saliency_map.double()).abs().mean((-3, -2, -1)).cpu()

    row = Metric(
        title="MAE", function=mean_error, needs=("saliency_map",), definition="mean error", higher_is_better=False
    )
    monkeypatch.setitem(METRICS, "mae", row)
    report = augsal("evaluate", "--data", toy_data, "--pred", toy_data / "heat")
    line = next(line for line in report.splitlines() if line.lower().startswith("mae"))
    assert "0.0000" in line
    assert "mean error" in report
