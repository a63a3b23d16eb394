"""benchmarks/gpu_steps.py and on_gpu.sh: the steps for a GPU, rehearsed at small sizes."""

import argparse
import json
import os
import subprocess
from functools import partial
from pathlib import Path

import gpu_steps
import pytest
import torch
from edit_throughput import Inputs
from gpu_steps import largest_batch, varied

from augsal_transforms import SaliencyEditor

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "on_gpu.sh"


@pytest.fixture
def small():
    return argparse.Namespace(small=True, device="cpu", rounds=1, batch=1, images=2)


def test_varied_images_differ():
    inputs = varied(Inputs([torch.rand(3, 16, 32)], [torch.rand(1, 16, 32)], ["a"]), 3)
    assert not torch.equal(inputs.images[0], inputs.images[1])
    assert torch.equal(inputs.saliency_maps[1], torch.roll(inputs.saliency_maps[0], 8, -1))
    assert inputs.captions == ["a"] * 3


def test_the_largest_batch_is_the_last_one_that_memory_holds(editor):
    own = editor.model.vae.decoder.register_forward_pre_hook(partial(refuse, 2))
    try:
        assert largest_batch(editor, Inputs.render(1, 32), [1, 2, 4, 8]) == (2, 2)
    finally:
        own.remove()


def refuse(most, module, arguments):
    if len(arguments[0]) > most:
        raise torch.OutOfMemoryError("more than memory holds")


@pytest.mark.slow
def test_half_precisions_are_compared_with_float32(sd1_folder, small):
    found = {f.name: f for f in gpu_steps.precision(partial(SaliencyEditor.from_pretrained, str(sd1_folder)), small)}
    assert found["float16 against float32"].holds
    assert found["bfloat16: finite"].value == "4 of 4 images"


@pytest.mark.slow
@pytest.mark.parametrize("step", ["training", "adapters", "generate"])
def test_every_step_runs_on_a_cpu(step, sd1_folder, small):
    found = list(gpu_steps.STEPS[step](partial(SaliencyEditor.from_pretrained, str(sd1_folder)), small))
    assert found
    assert all(figure.holds is not False for figure in found)


def test_the_script_shows_what_was_found_and_what_failed(tmp_path):
    (tmp_path / "1a-ceilings.json").write_text(json.dumps([{"name": "memory", "value": "42 GB/s"}]))
    (tmp_path / "2a-throughput.failed").write_text("status 124 after 340 s")
    environment = {**os.environ, "PYTHON": "python"}
    run = subprocess.run(
        ["bash", SCRIPT, "table", tmp_path], env=environment, capture_output=True, text=True, check=True
    )
    assert "| memory | 42 GB/s |" in run.stdout
    assert "2a-throughput failed: status 124 after 340 s" in run.stdout


def test_a_finished_step_is_not_run_again_and_none_is_begun_without_time(tmp_path):
    for name in ("1a-ceilings", "1b-tests"):
        (tmp_path / f"{name}.json").write_text("[]")
    environment = {**os.environ, "SMALL": "1", "SECONDS_A_PART": "10"}
    run = subprocess.run(["bash", SCRIPT, "1", tmp_path], env=environment, capture_output=True, text=True)
    assert run.stdout.count("done before") == 2
    assert "1c-precision: no time left in this call" in run.stdout
    assert run.returncode == 1
