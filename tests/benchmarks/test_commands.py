"""Every command that a page or a docstring quotes names a script that exists, with options that it has."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("benchmarks", "examples", "docs", "adapters", ".")
PAGES = sorted(
    path
    for folder in FOLDERS
    for ending in ("md", "py", "sh")
    for path in (ROOT / folder).glob(f"*.{ending}" if folder == "." else f"**/*.{ending}")
)
COMMAND = re.compile(r"^[^#\n]*?\b((?:benchmarks|examples)/[\w/]+\.(?:py|sh))((?:\\\n|[^#\n`])*)", re.MULTILINE)


def test_the_search_finds_commands():
    quoted = {script for path in PAGES for script, _ in COMMAND.findall(path.read_text())}
    assert {"benchmarks/ablation.py", "benchmarks/reproduce_table2.py", "examples/train_unisal_aug.py"} <= quoted


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_quoted_commands_exist(page):
    for script, rest in COMMAND.findall(page.read_text()):
        path = ROOT / script
        assert path.is_file(), f"{page.name} quotes {script}, which does not exist"
        source = path.read_text()
        for option in re.findall(r"(?<=[\s\[])--([a-z][\w-]*)", rest):
            assert re.search(rf'"(--)?{option}"', source), (
                f"{page.name} quotes {script} --{option}, an option that it does not have"
            )
