import math
import sys

import pytest
from helpers.datasets import write_folder
from typer.testing import CliRunner

from augsal_transforms.cli import app
from augsal_transforms.cli.preflight import check_device, check_editor, check_mat_files, check_number


def augsal(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_figure_without_matplotlib_is_refused_before_the_study_is_read(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as if it were not installed
    result = augsal("shift", tmp_path / "nowhere", "--plot", tmp_path / "shift.png")
    assert result.exit_code == 2
    assert result.stderr == 'augsal: --plot needs matplotlib: pip install "augsal-transforms[viz]".\n'


def test_an_engine_that_is_not_installed_is_refused_before_the_model_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    data = write_folder(tmp_path / "data", 1)
    result = augsal(
        *("generate", "--data", data, "--store", tmp_path / "store", "--engine", "ray", "--editor", "nowhere"),
        *("--device", "cpu"),
    )
    assert result.exit_code == 2
    assert 'needs Ray: pip install "augsal-transforms[ray]"' in result.stderr
    assert not (tmp_path / "store").exists()


def test_mat_files_need_scipy_and_others_do_not(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    check_mat_files([tmp_path / "a.png", tmp_path / "b.json"])
    with pytest.raises(ImportError, match=r"needs SciPy: pip install .*\[salicon\]"):
        check_mat_files([tmp_path / "a.png", tmp_path / "B.MAT"])


@pytest.mark.parametrize("device", ["cuda:999", "npu", "meta", "", "cpu0", "gpu"])
def test_devices_that_are_not_there_are_refused(device):
    with pytest.raises(ValueError, match="--device"):
        check_device(device)


def test_the_cpu_is_always_there():
    assert check_device("cpu") == "cpu"
    assert check_device("auto").startswith(("cpu", "cuda"))


def test_a_model_that_is_not_there_is_refused_by_the_options_name(tmp_path):
    with pytest.raises(ValueError, match="--editor: `name` must be 'bundled'"):
        check_editor("no such model")
    with pytest.raises(FileNotFoundError, match=r"--editor: .* lacks unet"):
        check_editor(str(tmp_path))
    check_editor("bundled")


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_above_a_bound_are_refused(value):
    with pytest.raises(ValueError, match="--shard-gb must be a finite number above 0, got"):
        check_number(value, "--shard-gb", above=0)
    check_number(1e-9, "--shard-gb", above=0)
    check_number(0, "--minutes", least=0)
