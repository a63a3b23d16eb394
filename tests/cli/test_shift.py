import json
import sys

import pytest
from helpers.datasets import write_folder
from helpers.osie import entry, write_osie
from helpers.studies import RISE, T, write_study, write_table
from typer.testing import CliRunner

from augsal_transforms.cli import app, preflight


def augsal(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_shift_tests_plots_and_speaks_json(tmp_path):
    study = write_study(tmp_path / "study", RISE)
    result = augsal("shift", study, "--plot", tmp_path / "shift.png")
    assert result.exit_code == 0, result.output
    assert "contrast              3         0  +0.500    3.46" in result.stdout
    assert (tmp_path / "shift.png").stat().st_size > 1000
    assert json.loads(augsal("shift", study, "--json").stdout)["kinds"]["contrast"]["t"] == pytest.approx(T)


def test_from_a_data_set_to_a_study_of_its_edits(tmp_path, sd1_folder):
    data, study = write_folder(tmp_path / "data", 3), tmp_path / "study"
    for alpha in (1.2, 1.8):
        options = ("--kinds", "contrast", "--contrast", alpha, "--editor", sd1_folder, "--device", "cpu")
        assert augsal("generate", "--data", data, "--store", tmp_path / "store", *options).exit_code == 0
    result = augsal("stimuli", "--store", tmp_path / "store", "--data", data, "--out", study, "--count", 2)
    assert result.exit_code == 0, result.output
    assert "4 edits in" in result.stdout
    names = sorted(path.stem for path in (study / "images").iterdir())
    assert len(names) == 6
    # Two viewers' fixations at one place: nothing changes.
    write_table(study / "fixations.csv", ("image", "x", "y"), [(f"{n}.png", 12.5, 12.5) for n in names for _ in "ab"])
    result = augsal("shift", study)
    assert result.exit_code == 0, result.output
    assert "4 edits of 2 images, 12 fixations" in result.stdout
    assert "contrast              2         0  +0.000    0.00        1      0.5" in result.stdout


def test_sigma_of_stimuli_is_for_data_without_maps(tmp_path):
    options = ("--store", tmp_path / "store", "--out", tmp_path / "study", "--sigma", 3)
    refused = augsal("stimuli", "--data", write_folder(tmp_path / "data", 2), *options)
    assert refused.exit_code == 2
    assert "`sigma` is for data sets without maps, such as OSIE" in refused.stderr
    taken = augsal("stimuli", "--data", write_osie(tmp_path / "osie", [entry("1001.jpg"), entry("1002.jpg")]), *options)
    assert "There is no store of edits" in taken.stderr


def test_the_observer_takes_the_place_of_people():
    result = augsal("shift", "--observer", "--scenes", 1)
    assert result.exit_code == 0, result.output
    assert "synthetic observer, which is no person: 9 edits of 1 images\n" in result.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "give either a study's folder or --observer"),
        (["nowhere", "--observer"], "give either"),
        (["nowhere"], "edits.csv is missing"),
    ],
)
def test_mistakes_are_one_line_and_exit_with_two(tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    result = augsal("shift", *options)
    assert result.exit_code == 2
    assert words in result.output


def test_a_figure_of_an_unknown_format_is_refused_before_the_study_is_read(tmp_path):
    result = augsal("shift", tmp_path / "nowhere", "--plot", tmp_path / "shift.doc")
    assert result.exit_code == 2
    assert "--plot must end in .png, .pdf, .svg, got" in result.stderr


def test_a_missing_scipy_is_found_before_the_first_edit(monkeypatch):
    monkeypatch.setattr(preflight, "find_spec", lambda module: None)
    monkeypatch.setattr(
        sys.modules["augsal_transforms.cli.shift"], "_observe", lambda scenes: pytest.fail("work was begun")
    )
    result = CliRunner().invoke(app, ["shift", "--observer"])
    assert result.exit_code == 2
    assert 'The t-test needs SciPy: pip install "augsal-transforms[salicon]".' in result.output
