"""One module makes the bars of commands, examples and benchmarks."""

import argparse
import io
from contextlib import redirect_stderr
from contextvars import copy_context
from pathlib import Path

import pytest

from augsal_transforms.progress import Quiet, progress_bar

ROOT = Path(__file__).parents[1]
FILES = {
    path.relative_to(ROOT): path.read_text(encoding="utf-8")
    for folder in ("augsal_transforms", "adapters", "examples", "benchmarks", "docs")
    for path in sorted((ROOT / folder).rglob("*.py"))
}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(arguments):
    """What a script with these arguments writes to a terminal."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quiet", action=Quiet)
    assert vars(parser.parse_args(arguments)) == {}
    with redirect_stderr(Terminal()) as terminal:
        assert list(progress_bar(range(3), "image", mininterval=0)) == [0, 1, 2]
    return terminal.getvalue()


@pytest.mark.parametrize(("arguments", "bar"), [([], True), (["--quiet"], False)])
def test_a_script_shows_rate_and_time_left_unless_it_is_quiet(arguments, bar):
    written = copy_context().run(shown, arguments)
    assert ("| 2/3 [00:00<00:0" in written) is bar
    assert bool(written) is bar


def test_no_other_module_makes_bars():
    assert [str(path) for path, text in FILES.items() if "from tqdm" in text or "import tqdm" in text] == [
        "augsal_transforms/progress.py"
    ]


def test_every_script_with_a_bar_can_be_quiet():
    scripts = {path: text for path, text in FILES.items() if "progress_bar(" in text and "ArgumentParser(" in text}
    loud = [str(path) for path, text in scripts.items() if "action=Quiet" not in text]
    assert loud == []
    assert len(scripts) > 10
