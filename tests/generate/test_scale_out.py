"""`augsal generate` as it is launched: several processes, killed processes, Ray."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from helpers.datasets import write_damaged_scenes
from typer.testing import CliRunner

from augsal_transforms import Contrast, EditStore, SaliencyEditor
from augsal_transforms.cli import app
from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.generate.generation import Generation
from augsal_transforms.generate.jobs import Finished

COUNT, KINDS = 24, "contrast"
EDITED = COUNT - 1  # one scene is corrupt
STARTED = 6  # records after which a process is stopped
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}


def command(data, store, *options):
    return [*("generate", "--data", data, "--store", store, "--editor", "bundled", "--device", "cpu"), *options]


def start(*arguments):
    program = [sys.executable, "-m", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": ENVIRONMENT}
    return subprocess.Popen(program, **pipes, preexec_fn=interruptible)


def interruptible():  # a shell lets what it runs in the background ignore Ctrl-C
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def finish(process, code):
    out, err = process.communicate(timeout=300)
    assert process.returncode == code, err[-2000:]
    return out


def keys(store):
    return [path.name for path in EditStore(store).records()]


def left_over(store):
    return [*EditStore(store).temporary_files(), *(store / "claims").iterdir()]


def failures(store):
    return [json.loads(line)["name"] for line in (store / "failures.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Scenes, one of them corrupt and one without a caption."""
    return write_damaged_scenes(tmp_path_factory.mktemp("scenes") / "data", COUNT)


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory):
    """The store that one process fills."""
    store = tmp_path_factory.mktemp("alone") / "store"
    result = CliRunner().invoke(app, [str(argument) for argument in command(data, store, "--kinds", KINDS)])
    assert result.exit_code == 3, result.output
    assert (
        f"made {EDITED} · reused 0 · not raised 0 · refused 0 · failed 1 → {store / 'failures.jsonl'}"
        in result.stdout.splitlines()
    )
    return store


def wait_for_records(store, count, process):
    deadline = time.monotonic() + 200
    while len(keys(store)) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_two_processes_under_torchrun_make_what_one_does(data, alone, tmp_path):
    store = tmp_path / "store"
    options = command(data, store, "--kinds", KINDS, "--json")
    out = finish(start("torch.distributed.run", "--nproc-per-node", 2, "-m", "augsal_transforms", *options), 0)
    counts = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    assert keys(store) == keys(alone)
    assert left_over(store) == []
    assert failures(store) == failures(alone) == ["scene_555_000000000001"]
    assert [count["failed"] for count in counts] == [1, 1]  # both met it, it is listed once
    assert all(count["made"] for count in counts)
    assert sum(count["made"] for count in counts) <= EDITED + 2 * 8  # a batch a rank


@pytest.mark.slow
def test_a_rank_that_is_killed_is_restarted_and_the_set_completed(data, alone, tmp_path):
    store = tmp_path / "store"
    options = command(data, store, "--kinds", KINDS, "--json", "--batch-size", 2)
    group = ("torch.distributed.run", "--nproc-per-node", 2, "--max-restarts", 1, "-m", "augsal_transforms")
    launcher = start(*group, *options)
    wait_for_records(store, STARTED, launcher)
    ranks = [int(pid) for pid in subprocess.check_output(["pgrep", "-P", str(launcher.pid)], text=True).split()]
    os.kill(ranks[0], signal.SIGKILL)
    held = len(keys(store))
    out = finish(launcher, 0)
    counts = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    assert keys(store) == keys(alone)
    assert failures(store) == failures(alone)
    assert left_over(store) == []
    assert held + sum(count["made"] for count in counts[-2:]) <= EDITED + 2 * 2  # a batch of two a rank


@pytest.mark.slow
def test_the_survivor_of_two_independent_processes_completes_the_set(data, alone, tmp_path):
    store = tmp_path / "store"
    first, second = (
        start("augsal_transforms", *command(data, store, "--kinds", KINDS, "--shard", shard))
        for shard in ("0/2", "1/2")
    )
    wait_for_records(store, STARTED, first)
    first.kill()
    first.communicate()
    finish(second, 3)
    assert keys(store) == keys(alone)
    assert failures(store) == failures(alone)
    assert left_over(store) == []


@pytest.mark.slow
def test_after_a_kill_the_finished_images_are_recognised_again_and_no_others(data, alone, tmp_path):
    store = tmp_path / "store"
    process = start("augsal_transforms", *command(data, store, "--kinds", KINDS, "--batch-size", 2))
    wait_for_records(store, STARTED, process)
    process.kill()
    process.communicate()
    held = len(keys(store))
    counts = [json.loads(finish(start("augsal_transforms", *command(data, store, "--kinds", KINDS, "--json")), 3))]
    counts += [json.loads(finish(start("augsal_transforms", *command(data, store, "--kinds", KINDS, "--json")), 3))]
    assert [one["reused"] for one in counts] == [held, EDITED]
    assert [one["made"] for one in counts] == [EDITED - held, 0]
    assert keys(store) == keys(alone)
    editor, files = SaliencyEditor.from_pretrained("bundled"), SaliencyFolder(data)
    jobs = Generation(editor, EditStore(store), files, (Contrast(),)).jobs(files.names)
    assert sum(isinstance(job, Finished) for _, job in jobs) == EDITED


@pytest.mark.slow
def test_what_is_cut_off_goes_on_when_it_is_run_again(data, alone, tmp_path):
    store = tmp_path / "store"
    process = start("augsal_transforms", *command(data, store, "--kinds", KINDS, "--batch-size", 2))
    wait_for_records(store, STARTED, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command again to go on" in err
    held = len(keys(store))
    out = finish(start("augsal_transforms", *command(data, store, "--kinds", KINDS, "--json")), 3)
    assert json.loads(out) == {"made": EDITED - held, "reused": held, "not_raised": 0, "refused": 0, "failed": 1}
    assert keys(store) == keys(alone)
    assert left_over(store) == []


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="Ray is not installed: the extra [ray]")
def test_two_ray_actors_make_what_one_process_does(data, alone, tmp_path):
    store = tmp_path / "store"
    options = command(data, store, "--kinds", KINDS, "--json", "--engine", "ray", "--actors", 2)
    out = finish(start("augsal_transforms", *options), 3)
    counts = next(json.loads(line) for line in out.splitlines() if line.startswith("{"))
    assert counts == {"made": EDITED, "reused": 0, "not_raised": 0, "refused": 0, "failed": 1}
    assert keys(store) == keys(alone)
    assert failures(store) == failures(alone)
    assert left_over(store) == []
