"""Other users and small disks, for those tests that root can run."""

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


@contextmanager
def another_user():
    """Access files as nobody."""
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def open_the_way(folder):
    """Let others reach a folder: pytest's own are private."""
    while folder != folder.parent:
        if folder.stat().st_uid == 0 and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o055)
        folder = folder.parent


@contextmanager
def small_disk(folder, size):
    """A file system of ``size`` on a folder."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("a file system cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)
