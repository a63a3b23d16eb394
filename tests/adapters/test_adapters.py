"""The adapters' contract, over a stand-in of each upstream and, where one is given, the real checkout."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from helpers.upstream_runs import UPSTREAMS, checkout_of

TESTS = Path(__file__).parents[1]
CASES = [
    pytest.param(name, kind, id=f"{name}-{kind}", marks=[pytest.mark.upstream] if kind == "real" else [])
    for name in UPSTREAMS
    for kind in ("stand-in", "real")
]


def train(jobs):
    """What the training runs of upstreams ended in, by name; one process for all, which imports torch once.

    Args:
        jobs: Name, checkout and folder of each upstream.
    """
    command = [
        sys.executable,
        str(TESTS / "helpers" / "upstream_runs.py"),
        *(str(part) for job in jobs for part in job),
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    ended = [json.loads(line) for line in run.stdout.splitlines() if line.startswith(("{", "null"))]
    assert len(ended) == len(jobs), run.stdout[-2000:] + run.stderr[-4000:]
    return {name: (runs, run.stderr[-4000:]) for (name, *_), runs in zip(jobs, ended, strict=True)}


@pytest.fixture(scope="session")
def ends(tmp_path_factory):
    """What an upstream's runs ended in: the stand-ins' are made together, those of a real checkout alone."""

    def job(name, kind):
        return name, checkout_of(name, kind), tmp_path_factory.mktemp(f"{name}-{kind}")

    stand_ins = cache(lambda: train([job(name, "stand-in") for name in UPSTREAMS]))
    return cache(lambda name, kind: stand_ins()[name] if kind == "stand-in" else train([job(name, kind)])[name])


@pytest.fixture
def runs(request, ends):
    found, errors = ends(*request.param)
    assert found, errors
    return found


contract = pytest.mark.parametrize(
    "runs",
    [pytest.param(case.values, id=case.id, marks=case.marks) for case in CASES],
    indirect=True,
)


@contract
def test_without_edits_training_ends_as_it_does_unpatched(runs):
    assert runs["p = 0"]["state"] == runs["plain"]["state"]
    assert runs["p = 0"]["random"] == runs["plain"]["random"]
    assert runs["augmented"]["state"] != runs["plain"]["state"]  # or nothing could tell the two apart


@contract
def test_at_weight_zero_the_edited_pass_leaves_no_trace(runs):
    assert runs["weight 0"]["edited"] > 0
    assert runs["weight 0"]["state"] == runs["plain"]["state"]
    assert runs["weight 0"]["random"] == runs["plain"]["random"]


@contract
def test_what_is_added_to_the_gradient_is_the_gradient_of_the_editing_loss(runs):
    step = runs["augmented"]["step"]
    assert step["expected"] > 0
    assert step["error"] < 1e-9


@contract
def test_an_edit_that_changes_nothing_leaves_the_prediction_to_the_bit(runs):
    assert runs["augmented"]["step"]["null pixels equal"]
    assert runs["augmented"]["step"]["null edit equal"]


@contract
def test_configs_and_the_names_of_weights_stay(runs):
    assert runs["augmented"]["keys"] == runs["plain"]["keys"]
    assert runs["augmented"]["configs"] == runs["plain"]["configs"]


@contract
def test_the_hook_is_silent_in_validation(runs):
    # One epoch of four images in batches of two: two passes, four edits. Validation has two images more.
    assert (runs["augmented"]["passes"], runs["augmented"]["edited"]) == (2, 4)
    assert (runs["p = 0"]["passes"], runs["p = 0"]["edited"]) == (2, 0)
