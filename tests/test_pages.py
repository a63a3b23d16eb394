"""What the pages say is so: their Python runs, their commands and options exist, their links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest
import torch
import typer
from torch import nn
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import to_pil_image

from augsal_transforms import SaliencyDiffusionAugment, SaliencyEditor, SaliencyLoss
from augsal_transforms.cli import app
from augsal_transforms.data.layouts import open_layout
from augsal_transforms.generate.generation import Generation
from augsal_transforms.scenes.writer import write_scenes
from augsal_transforms.store.store import EditStore

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("adapters/*.md"), *ROOT.glob("benchmarks/*.md")]
)
# A fenced block with its language, and the comment "<!-- not run: reason -->" that may stand before it.
BLOCK = re.compile(r"^(<!-- not run: [^\n]+ -->\n+)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def named(pages):
    return pytest.mark.parametrize("page", pages, ids=[str(page.relative_to(ROOT)) for page in pages])


def snippets(page):
    return [code for reason, language, code in BLOCK.findall(page.read_text()) if language == "python" and not reason]


@pytest.fixture(scope="session")
def workplace(tmp_path_factory, bundled: SaliencyEditor):
    """A folder with the files that the pages name: data, a store of their edits, a photo with its map."""
    folder = tmp_path_factory.mktemp("pages")
    write_scenes(folder / "SALICON", 2, seed=17)
    dataset = open_layout(folder / "SALICON")
    Generation(bundled, EditStore(folder / "salicon-edits"), dataset).run(dataset.names)
    generator = torch.Generator().manual_seed(0)
    photo = torch.rand(3, 6, 8, generator=generator).repeat_interleave(16, 1).repeat_interleave(16, 2)
    saliency_map = torch.zeros(1, 96, 128)
    saliency_map[:, 24:72, 32:96] = 1
    to_pil_image(photo).save(folder / "photo.jpg")
    to_pil_image(saliency_map).save(folder / "map.png")
    return folder


def belongings(folder):
    """What the pages call the reader's own: a model, an optimizer, a loss and a loader."""
    transform = v2.Compose(
        [
            SaliencyDiffusionAugment(store=folder / "salicon-edits", p=1.0, seed=0),
            v2.Resize((16, 16)),
            v2.ToDtype(torch.float32, scale=True),
        ]
    )
    dataset = open_layout(folder / "SALICON")
    samples = [transform(dataset[number]) for number in range(2)]
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 1, 3, padding=1), nn.Sigmoid())
    return {
        "model": model,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1),
        "my_saliency_loss": SaliencyLoss(),
        "loader": torch.utils.data.DataLoader(samples, batch_size=2),
    }


@named([page for page in PAGES if snippets(page)])
def test_python_on_a_page_runs_from_top_to_bottom(page, workplace, monkeypatch, capsys):
    monkeypatch.chdir(workplace)
    names = belongings(workplace)
    for number, code in enumerate(snippets(page), 1):
        exec(compile(code, f"{page.name}, snippet {number}", "exec"), names)


@named([page for page in PAGES if "augsal " in page.read_text()])
def test_commands_and_options_on_a_page_exist(page):
    group = typer.main.get_command(app)
    shell = "".join(code for _, language, code in BLOCK.findall(page.read_text()) if not language)
    for line in shell.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        start = next((n for n, word in enumerate(words) if word in ("augsal", "augsal_transforms")), None)
        if start is None or words[start + 1].startswith("-"):
            continue
        command = group.commands.get(words[start + 1])
        assert command, f"{line}: no such command"
        known = {option for parameter in command.params for option in parameter.opts}
        given = {word for word in words[start + 2 :] if word.startswith("--")}
        assert given <= known, f"{line}: {given - known}"


@named(PAGES)
def test_scripts_and_files_that_a_page_names_are_there(page):
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        assert target.startswith("https://") or (page.parent / target).exists(), target
    for script in re.findall(r"\b((?:benchmarks|examples|docs)/[\w/]+\.(?:py|sh|md))", text):
        assert (ROOT / script).exists(), script


def test_tests_that_the_page_of_departures_names_exist():
    sources = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    names = re.findall(r"`(test_\w+)`", (ROOT / "docs" / "departures.md").read_text())
    assert len(names) > 12
    assert [name for name in names if f"def {name}(" not in sources] == []


def test_readme_is_short_and_its_picture_small():
    assert len((ROOT / "README.md").read_bytes()) <= 8000
    assert (ROOT / "docs" / "images" / "edits.png").stat().st_size <= 300_000
