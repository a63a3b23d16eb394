import json
import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

from typer.testing import CliRunner

from augsal_transforms.cli import app
from augsal_transforms.cli.doctor import examine


def found(findings, what):
    return next(finding for finding in findings if finding.what == what)


def test_versions_the_gpu_and_the_space_are_told(tmp_path):
    findings = examine(store=tmp_path)
    assert found(findings, "torch").found.split("+")[0].replace(".", "").isdigit()
    assert found(findings, "GPU").found
    assert f"GB at {tmp_path}" in found(findings, "free space").found
    assert not any(finding.missing for finding in findings)


def test_a_store_that_is_not_there_is_not_made(tmp_path):
    finding = found(examine(store=tmp_path / "a" / "store"), "store")
    assert "will be made" in finding.found
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_written_to_is_missing(tmp_path):
    (tmp_path / "file").touch()
    finding = found(examine(store=tmp_path / "file" / "store"), "store")
    assert finding.missing
    assert "cannot be written to" in finding.found


def test_models_on_disk_are_found_and_incomplete_ones_missing(sd1_folder, tmp_path):
    assert found(examine("bundled"), "model bundled").missing is False
    assert found(examine(str(sd1_folder)), f"model {sd1_folder}").found == str(sd1_folder)
    finding = found(examine(str(tmp_path)), f"model {tmp_path}")
    assert finding.missing
    assert "lacks unet" in finding.found


PROGRAM = """
import socket, sys
def refuse(*args, **kwargs):
    raise AssertionError("doctor connects")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
from augsal_transforms.cli import app
for options in ([], ["--editor", "sd-v1-5"], ["--editor", "bundled"]):
    try:
        app(["doctor", *options])
    except SystemExit as end:
        print(f"code {end.code}")
"""


def test_doctor_never_connects_and_exits_with_three_for_what_was_asked_for(tmp_path):
    environment = {**os.environ, "HF_HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    environment.pop("HF_HUB_CACHE", None)
    run = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert re.findall(r"^code (\d+)$", run.stdout, re.MULTILINE) == ["0", "3", "0"], run.stderr
    first, second, third, _ = re.split(r"^code \d+$", run.stdout, flags=re.MULTILINE)
    assert ["missing: model sd-v1-5" in printed for printed in (first, second, third)] == [False, True, False]
    assert not list(tmp_path.rglob("*.safetensors"))


def test_doctor_speaks_json(tmp_path):
    result = CliRunner().invoke(app, ["doctor", "--store", str(tmp_path), "--json"])
    assert result.exit_code == 0
    assert {"what": "store", "found": f"{tmp_path} can be written to", "missing": False} in json.loads(result.stdout)


def test_an_extra_that_is_not_installed_has_its_command(monkeypatch):
    monkeypatch.setattr(sys.modules["augsal_transforms.cli.doctor"], "version", absent)
    findings = examine("bundled")
    assert found(findings, "scipy").found == 'not installed; optional: pip install "augsal-transforms[salicon]"'
    assert found(findings, "kornia").found == "not installed"


def absent(name):
    raise PackageNotFoundError(name)
