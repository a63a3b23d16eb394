"""The adapters' commands, over the stand-ins."""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from helpers.forked import run_forked
from helpers.upstream_runs import STAND_INS, TempSAL, fill, write_pictures

from augsal_transforms.adapters._launch import launch

SCRIPT = "import sys; from beside import NAME; print(__name__, sys.argv, NAME)"


@pytest.fixture
def script(tmp_path, monkeypatch):
    (tmp_path / "program.py").write_text(SCRIPT)
    (tmp_path / "beside.py").write_text("NAME = 'beside'")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "beside", raising=False)


def test_a_script_runs_as_the_main_program_with_its_own_arguments(script, capsys):
    seen = []

    @contextmanager
    def augmented(**options):
        seen.append(options)
        yield

    before = sys.argv, sys.path[:]
    arguments = "--store edits --p 0.7 --form rank --seed 3 -- program.py --p 9 --cc False".split()
    launch("unisal", augmented, conversions=["peak", "odds"], argv=arguments)
    assert capsys.readouterr().out == "__main__ ['program.py', '--p', '9', '--cc', 'False'] beside\n"
    assert (sys.argv, sys.path) == before
    (options,) = seen
    assert str(options.pop("editing")) == "MaskedEditingLoss(form='rank', detach='original')"
    assert options == {"store": "edits", "p": 0.7, "editing_weight": 0.1, "seed": 3, "conversion": "peak"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--store edits", "after `--` the upstream's script is missing"),
        ("--store edits -- absent.py", "there is no script 'absent.py' in"),
        ("-- program.py", "required: --store"),
        ("--store edits --form bse -- program.py", "invalid choice: 'bse'"),
    ],
)
def test_mistakes_are_told_in_a_line(script, capsys, arguments, words):
    with pytest.raises(SystemExit) as stop:
        launch("simplenet", None, argv=arguments.split())
    assert stop.value.code == 2
    assert words in capsys.readouterr().err


def command(adapter, place, *arguments, store, **environment):
    return subprocess.run(
        [sys.executable, "-m", f"augsal_transforms.adapters.{adapter}", "--store", store, "--p", "1", "--", *arguments],
        capture_output=True,
        text=True,
        cwd=place,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
    )


@pytest.fixture
def forked(tmp_path):
    """As ``command``, in a forked copy of this process, which has imported the libraries already."""

    def forked(adapter, place, *arguments, store):
        options = ("--store", store, "--p", "1", "--", *arguments)
        return run_forked(tmp_path, f"augsal_transforms.adapters.{adapter}", *options, cwd=place)

    return forked


@pytest.fixture
def checkout(tmp_path):
    return lambda name: Path(shutil.copytree(STAND_INS / name, tmp_path / "checkout"))


def test_unisal_trains_by_its_own_command(checkout, tmp_path):
    fill(tmp_path / "edits", write_pictures(tmp_path / "data", (48, 64), images="images"))
    run = command(
        *("unisal", checkout("unisal"), "run.py", "train"),
        *('--data_sources=["DHF1K", "SALICON"]', "--eval_sources=[]", "--num_workers=2"),
        store=tmp_path / "edits",
        SALICON_DATA_DIR=str(tmp_path / "data"),
        TRAIN_DIR=str(tmp_path / "runs"),
    )
    assert run.returncode == 0, run.stderr
    assert "augsal: edits found for 4 of 4 training images\n" in run.stdout
    assert "augsal: 8 edited items in 4 training passes" in run.stdout  # two epochs
    assert "shim" not in run.stdout
    assert (tmp_path / "runs/run_unisal/chkpnt_epoch0000.pth").exists()


def test_simplenet_trains_by_its_own_command(checkout, tmp_path, forked):
    fill(tmp_path / "edits", write_pictures(tmp_path / "data", (48, 64), images="images/{split}", ending=".png"))
    run = forked(
        *("simplenet", checkout("simplenet") / "SimpleNet", "train.py", "--dataset_dir", f"{tmp_path}/data/"),
        *("--enc_model", "resnet", "--load_weight", "0", "--no_workers", "2"),
        store=tmp_path / "edits",
    )
    assert run.returncode == 0, run.stderr
    assert "augsal: 8 edited items in 4 training passes" in run.stdout
    for shim in ("pytorch_ssim is not installed", "torchsummary is not installed", "fixations of validation are read"):
        assert run.stdout.count(f"{shim}") == 1
    assert run.stdout.count("no CUDA device") == (not torch.cuda.is_available())


def test_tempsals_untrainable_model_is_refused_with_the_reason(checkout, tmp_path, forked):
    fill(tmp_path / "edits", write_pictures(tmp_path / "data", (48, 64), images="images/{split}"))
    run = forked("tempsal", checkout("tempsal") / "src", "train.py", store=tmp_path / "edits")
    assert run.returncode == 1
    assert "takes two outputs of a model that returns one" in run.stderr.splitlines()[-1]
    assert "pnas_boosted_multi" in run.stderr.splitlines()[-1]


def test_a_store_of_other_images_stops_the_command_before_training(checkout, tmp_path, forked):
    write_pictures(tmp_path / "data", (48, 64), images="images/{split}", fixations="fixation_maps/{split}")
    others = write_pictures(tmp_path / "others", (48, 64), images="images")
    fill(tmp_path / "edits", [path.rename(path.with_stem(f"other-{path.stem}")) for path in others])
    upstream = TempSAL(checkout("tempsal"), tmp_path / "fabricated", real=False)
    run = forked(
        *("tempsal", upstream.source, "train.py", "--dataset_dir", f"{tmp_path}/data/", *upstream.options),
        store=tmp_path / "edits",
    )
    assert run.returncode == 1
    assert "holds no edit of any of the 4 training images" in run.stderr.splitlines()[-1]
