"""Bars on a terminal, and nothing of them anywhere else."""

import io
import shutil
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from augsal_transforms.cli import app
from augsal_transforms.cli.progress import bars
from augsal_transforms.cli.store import stats, verify
from augsal_transforms.scenes.writer import write_scenes

RECORDS = Path(__file__).parents[1] / "store" / "store_schema_1"
WITH_BARS = (
    "scenes check-data convert-fixations generate gallery verify stats pack "
    "train-readouts calibrate evaluate stimuli shift"
)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def store(tmp_path):
    return shutil.copytree(RECORDS, tmp_path / "store")


@pytest.mark.parametrize("command", WITH_BARS.split())
def test_commands_that_take_long_can_be_quiet(command):
    assert "--quiet" in {option for parameter in get_command(app).commands[command].params for option in parameter.opts}


def test_a_bar_shows_rate_and_time_left():
    with redirect_stderr(Terminal()) as terminal:
        list(bars(False, "image")(range(3), mininterval=0))
    assert "| 2/3 [00:00<00:0" in terminal.getvalue()
    assert "image/s]" in terminal.getvalue()


@pytest.mark.parametrize(("quiet", "stream"), [(True, Terminal), (False, io.StringIO)], ids=["quiet", "no terminal"])
def test_there_is_no_bar_when_quiet_or_where_no_terminal_is(quiet, stream):
    with redirect_stderr(stream()) as written:
        assert list(bars(quiet, "image")(range(3))) == [0, 1, 2]
    assert written.getvalue() == ""


@pytest.mark.parametrize("quiet", [False, True])
def test_lines_of_json_are_the_same_with_and_without_a_bar(store, quiet):
    with redirect_stderr(Terminal()) as terminal, redirect_stdout(io.StringIO()) as printed:
        stats(store, quiet=quiet, as_json=True)
        with pytest.raises(typer.Exit):
            verify(store, quiet=quiet, as_json=True)
    assert [line[0] + line[-1] for line in printed.getvalue().splitlines()] == ["{}", "{}"]
    assert ("edit/s" in terminal.getvalue()) is not quiet


def test_scenes_are_counted_while_they_are_written(tmp_path):
    with redirect_stderr(Terminal()) as terminal:
        write_scenes(tmp_path / "scenes", 2, size=16, progress=bars(False, "scene"))
    assert "/2 [" in terminal.getvalue()
