import json
import shutil

import PIL.Image
import pytest
from helpers.datasets import write_folder
from typer.testing import CliRunner

from augsal_transforms.cli import app


def augsal(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("gallery") / "data", 3)


@pytest.fixture(scope="module")
def filled(tmp_path_factory, data, sd1_folder):
    """A store with two edits of each of three images."""
    store = tmp_path_factory.mktemp("gallery") / "edits"
    options = ("--kinds", "contrast=1.5,brightness=0.15", "--editor", sd1_folder, "--device", "cpu")
    assert augsal("generate", "--data", data, "--store", store, *options).exit_code == 0
    return store


def test_a_store_becomes_a_page_and_a_figure(tmp_path, data, filled):
    page, figure = tmp_path / "gallery.html", tmp_path / "gallery.png"
    command = ("gallery", "--store", filled, "--data", data, "--out", page, "--png", figure, "--count", 2)
    result = augsal(*command)
    assert result.exit_code == 0, result.output
    assert "4 edits of 2 images" in result.stdout
    assert page.read_bytes().count(b'<article class="card"') == 2
    with PIL.Image.open(figure) as picture:
        assert picture.height > 400
    again = augsal(*command, "--json")  # its own files are replaced
    assert again.exit_code == 0, again.output
    assert {"images": 2, "edits": 4, "damaged": []}.items() <= json.loads(again.stdout).items()


def test_a_figure_of_another_command_is_kept(tmp_path, data, filled, sd1_folder):
    figure, saliency_map = tmp_path / "figure.png", data / "maps" / "train" / "photo-0.png"
    assert explain(data, figure, sd1_folder, "--saliency-map", saliency_map).exit_code == 0
    drawn = figure.read_bytes()
    result = augsal("gallery", "--store", filled, "--data", data, "--out", tmp_path / "page.html", "--png", figure)
    assert result.exit_code == 2
    assert "--png: " in result.stderr
    assert figure.read_bytes() == drawn


def test_images_without_maps_are_shown_with_predicted_ones(tmp_path, data, filled):
    images = shutil.copytree(data / "images" / "train", tmp_path / "images")
    given = ("gallery", "--store", filled, "--data", images, "--out", tmp_path / "gallery.html", "--device", "cpu")
    refused = augsal(*given)
    assert refused.exit_code == 2
    assert "--predict-maps of `augsal generate` and `augsal gallery`" in refused.stderr
    result = augsal(*given, "--predict-maps")
    assert result.exit_code == 0, result.output
    assert "6 edits of 3 images" in result.stdout


def test_an_editor_needs_no_store(tmp_path, data, sd1_folder):
    page = tmp_path / "gallery.html"
    options = ("--editor", sd1_folder, "--kinds", "contrast", "--strengths", 2, "--count", 1, "--device", "cpu")
    result = augsal("gallery", "--data", data, "--out", page, *options)
    assert result.exit_code == 0, result.output
    assert "2 edits of 1 images" in result.stdout
    assert "How the region was found" in page.read_text(encoding="utf-8")


def test_damage_is_named_and_ends_with_three(tmp_path, data, filled):
    store = shutil.copytree(filled, tmp_path / "edits")
    record = next(store.rglob("*.safetensors"))
    record.write_bytes(b"damaged")
    result = augsal("gallery", "--store", store, "--data", data, "--out", tmp_path / "gallery.html")
    assert result.exit_code == 3, result.output
    assert "5 edits of 3 images" in result.stdout
    assert f"1 damaged record(s), which `augsal verify --repair` deletes: {record}" in result.stdout
    assert record.name in (tmp_path / "gallery.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--out", "gallery.html"], "give --store, a folder of edits, or --editor"),
        (["--out", "gallery.txt", "--store", "{store}"], "--out must end in .html"),
        (["--out", "gallery.html", "--png", "gallery.gif", "--store", "{store}"], "--png must end in .png"),
        (["--out", "gallery.html", "--store", "nowhere"], "There is no store of edits at nowhere"),
        (["--out", "gallery.html", "--editor", "bundled", "--kinds", "nonsense"], "--kinds must be among"),
        (
            ["--out", "gallery.html", "--store", "{store}", "--predictor", "nowhere"],
            "--predictor: nowhere holds no predictor",
        ),
        (["--out", "foreign.html", "--store", "{store}"], "foreign.html exists already"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(tmp_path, monkeypatch, data, filled, options, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "foreign.html").write_text("<!doctype html>\n<title>mine</title>")
    result = augsal("gallery", "--data", data, *(option.format(store=filled) for option in options))
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["foreign.html"]


def test_a_store_of_other_images_is_said_to_be_one(tmp_path, filled):
    other = write_folder(tmp_path / "other", 8)
    for image in (other / "images" / "train").iterdir():
        PIL.Image.new("RGB", (40, 32), "red").save(image)
    result = augsal("gallery", "--store", filled, "--data", other, "--out", tmp_path / "gallery.html")
    assert result.exit_code == 2
    assert "there is no edit of these images to show" in result.stderr
    assert "3 image(s) whose pixels are not those that were edited: photo-" in result.stderr
    assert not (tmp_path / "gallery.html").exists()


def test_matplotlib_is_asked_for_before_the_work(tmp_path, monkeypatch, data, filled):
    monkeypatch.setattr("augsal_transforms.cli.preflight.find_spec", lambda name: None)
    out = tmp_path / "gallery.html"
    result = augsal("gallery", "--store", filled, "--data", data, "--out", out, "--png", tmp_path / "gallery.png")
    assert result.exit_code == 2
    assert 'pip install "augsal-transforms[viz]"' in result.stderr
    assert not out.exists()


def explain(data, out, sd1_folder, *options):
    image = data / "images" / "train" / "photo-0.png"
    return augsal("explain", image, "--editor", sd1_folder, "--device", "cpu", "--out", out, *options)


def test_explain_draws_and_lists_the_words(tmp_path, data, sd1_folder):
    out, saliency_map = tmp_path / "explain.png", data / "maps" / "train" / "photo-0.png"
    options = ("--saliency-map", saliency_map, "--prompt", "a red dog on the street")
    result = explain(data, out, sd1_folder, *options)
    assert result.exit_code == 0, result.output
    assert "  the                  skipped\n" in result.stdout
    assert "selected 1.00" in result.stdout
    assert out.stat().st_size > 10_000
    drawn = out.read_bytes()
    refused = explain(data, out, sd1_folder, "--saliency-map", data / "maps" / "train" / "photo-1.png")
    assert refused.exit_code == 2  # the figure of another image is no less the user's
    assert "exists already. Name another file, or give --overwrite." in refused.stderr
    assert out.read_bytes() == drawn
    found = json.loads(explain(data, out, sd1_folder, *options, "--json", "--overwrite").stdout)
    assert [word["word"] for word in found["words"]] == ["a", "red", "dog", "on", "the", "street"]
    assert found["word"] in ("red", "dog", "street")


def test_explain_takes_a_predicted_map(tmp_path, data, sd1_folder, predictor):
    predictor.save(tmp_path / "readouts")
    out = tmp_path / "explain.svg"
    result = explain(data, out, sd1_folder, "--predictor", tmp_path / "readouts", "--prompt", "a dog")
    assert result.exit_code == 0, result.output
    assert out.read_text(encoding="utf-8").startswith("<?xml")


def test_explain_wants_one_map(tmp_path, data, sd1_folder):
    saliency_map = data / "maps" / "train" / "photo-0.png"
    for options in ((), ("--saliency-map", saliency_map, "--predictor", "bundled")):
        result = explain(data, tmp_path / "explain.png", sd1_folder, *options)
        assert result.exit_code == 2
        assert "give either --saliency-map, a file, or --predictor" in result.stderr
    result = explain(data, saliency_map, sd1_folder, "--saliency-map", saliency_map, "--overwrite")
    assert result.exit_code == 2
    assert "is an input of this command" in result.stderr
