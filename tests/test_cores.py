"""cores.py: processes that share cores divide them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from augsal_transforms.cores import CoreShare, cgroup_limit, together_here, usable_cores

HOLD = """
import fcntl, sys
path = sys.argv[1]
file = open(path, "wb")
fcntl.flock(file, fcntl.LOCK_EX)
file.write(sys.argv[2].encode()); file.flush()
print("held", flush=True)
sys.stdin.read()
"""
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no locks of this kind on Windows")


@pytest.fixture(autouse=True)
def _four_cores(monkeypatch):
    """A process that may use four cores and that no variable limits; afterwards the number of threads is as before."""
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("augsal_transforms.cores._cores", lambda: {0, 1, 2, 3})
    monkeypatch.setattr("augsal_transforms.cores.CGROUPS", Path("/nowhere"))
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def hold(tmp_path):
    """Start a process that holds a locked file with these cores, as a ``CoreShare`` does."""
    started = []

    def start(name, cores):
        command = [sys.executable, "-c", HOLD, str(tmp_path / name), cores]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_process_alone_takes_all_its_cores(tmp_path):
    with CoreShare(folder=tmp_path) as cores:
        assert torch.get_num_threads() == 4
        assert cores.describe() == "4 CPU threads: 4 cores, 1 process"


def test_processes_divide_the_cores_as_they_begin_and_die(tmp_path, hold):
    with CoreShare(folder=tmp_path) as cores:
        other = hold("process-other", "0,1,2,3")
        assert cores.take() == torch.get_num_threads() == 2
        assert cores.describe() == "2 CPU threads: 4 cores, 2 processes"
        other.kill()
        other.communicate()
        assert cores.take() == torch.get_num_threads() == 4
        assert not (tmp_path / "process-other").exists()


def test_two_shares_see_each_other_until_one_is_released(tmp_path):
    with CoreShare(folder=tmp_path) as first:
        with CoreShare(folder=tmp_path) as second:
            assert (first.count(), second.count()) == (2, 2)
        assert first.count() == 1
    assert list(tmp_path.iterdir()) == []


def test_processes_on_other_cores_do_not_count(tmp_path, hold):
    hold("process-other", "4,5,6,7")
    with CoreShare(folder=tmp_path) as cores:
        assert cores.take() == 4


def test_more_processes_than_cores_have_a_thread_each(tmp_path):
    with CoreShare(together=9, folder=tmp_path) as cores:
        assert cores.take() == 1


def test_a_number_that_is_asked_for_counts_most(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    with CoreShare(3, together=4, folder=tmp_path) as cores:
        assert cores.describe() == "3 CPU threads: as asked for (4 processes are running)"
    torch.set_num_threads(4)
    with CoreShare(together=4, folder=tmp_path) as cores:
        assert cores.take() == 4
    with pytest.raises(ValueError, match="`threads` must be 1 or more, got 0"):
        CoreShare(0)


def test_without_a_folder_the_launcher_is_believed():
    shares = CoreShare(together=2)
    shares.folder = None
    assert shares.take() == 2


def test_a_deleted_file_is_made_again(tmp_path):
    with CoreShare(folder=tmp_path) as cores:
        (file,) = tmp_path.iterdir()
        file.unlink()
        cores.take()
        assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("files", "own", "limit"),
    [
        ({}, "", float("inf")),
        ({"cpu.max": "max 100000"}, "0::/\n", float("inf")),
        ({"cpu.max": "150000 100000"}, "0::/\n", 1.5),
        # The smallest limit of the groups around the process holds: 300,000 / 100,000 = 3 and 50,000 / 25,000 = 2.
        ({"a/b/cpu.max": "300000 100000", "a/cpu.max": "50000 25000"}, "1:cpu:/\n0::/a/b\n", 2.0),
        ({"cpu.max": "nonsense"}, "0::/../../etc\n", float("inf")),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, "", 4.0),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "", float("inf")),
    ],
)
def test_the_limit_of_a_container_is_read(tmp_path, files, own, limit):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cgroup_limit(tmp_path, own) == limit


def test_the_cores_are_whole_and_at_least_one(tmp_path, monkeypatch):
    monkeypatch.setattr("augsal_transforms.cores.CGROUPS", tmp_path)
    for quota, expected in (("250000", 2), ("50000", 1), ("800000", 4)):
        (tmp_path / "cpu.max").write_text(f"{quota} 100000")
        assert usable_cores() == expected


@pytest.mark.parametrize(
    ("environment", "count"),
    [({}, 1), ({"LOCAL_WORLD_SIZE": "4"}, 4), ({"SLURM_NTASKS_PER_NODE": "3"}, 3), ({"LOCAL_WORLD_SIZE": "x"}, 1)],
)
def test_launchers_say_how_many_they_start(environment, count):
    assert together_here(environment) == count


def test_the_folder_is_the_users_alone():
    with CoreShare() as cores:
        assert cores.folder.stat().st_mode & 0o077 == 0
        assert cores.folder.stat().st_uid == os.getuid()
