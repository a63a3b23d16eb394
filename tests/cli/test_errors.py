import errno

import pytest
import typer
from typer.testing import CliRunner

from augsal_transforms.cli.errors import user_code, with_exit_codes
from augsal_transforms.cli.units import as_duration, as_size


def run(action, *, resumes=False):
    app = typer.Typer(pretty_exceptions_enable=False)

    def command():
        action()

    app.command()(with_exit_codes(command, resumes=resumes))
    return CliRunner().invoke(app, [])


def raising(error):
    def action():
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("--out must be"), 2),
        (FileNotFoundError(errno.ENOENT, "no such file"), 2),
        (ImportError("needs Ray"), 2),
        (OSError(errno.ENOSPC, "No space left on device"), 4),
        (OSError(errno.EIO, "Input/output error"), 4),
        (OSError(errno.EROFS, "Read-only file system"), 4),
        (MemoryError(), 4),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), 4),
    ],
)
def test_an_error_is_one_line_and_its_exit_code_says_whose_it_is(error, code):
    result = run(raising(error))
    assert result.exit_code == code
    assert result.stderr.startswith("augsal: ")
    assert len(result.stderr.splitlines()) == 1


def test_a_file_of_the_systems_message_comes_first():
    result = run(lambda: open("absent-folder/captions.json"))  # noqa: PTH123, SIM115
    assert result.stderr == "augsal: absent-folder/captions.json: No such file or directory.\n"


def test_a_full_disk_says_what_to_do():
    result = run(raising(OSError(errno.ENOSPC, "No space left on device", "store/v1")))
    assert "No space left on device: 'store/v1'. Free some space" in result.stderr


@pytest.mark.parametrize("error", [KeyError("name"), RuntimeError("mat1 and mat2"), TypeError("unsupported operand")])
def test_a_fault_of_the_package_keeps_its_traceback(error):
    result = run(raising(error))
    assert result.exit_code == 1
    assert result.exception is error


def test_the_users_own_exception_is_printed_with_its_traceback():
    def action():
        with user_code():
            raise ValueError("my own mistake")

    result = run(action)
    assert result.exit_code == 1
    assert "Traceback (most recent call last)" in result.stderr
    assert "ValueError: my own mistake" in result.stderr
    assert "UserCodeError" not in result.stderr
    assert "augsal_transforms" not in result.stderr


@pytest.mark.parametrize(("resumes", "words"), [(True, "to go on"), (False, "to start over")])
def test_ctrl_c_ends_with_130_and_one_line(resumes, words):
    result = run(raising(KeyboardInterrupt()), resumes=resumes)
    assert result.exit_code == 130
    assert len(result.stderr.splitlines()) == 1
    assert words in result.stderr


def test_an_exit_keeps_its_code():
    assert run(raising(typer.Exit(3))).exit_code == 3


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (41_200, "41.2 kB"), (999_600, "1 MB"), (3.4e9, "3.4 GB"), (2e13, "20 TB")],
)
def test_sizes_have_a_unit_that_fits(count, text):
    assert as_size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.42, "0.42 s"), (38, "38 s"), (180, "3 min"), (12_240, "3.4 h"), (450_000, "5.21 days")],
)
def test_durations_have_a_unit_that_fits(seconds, text):
    assert as_duration(seconds) == text
