"""Imports point down the floors of the house (CONTRIBUTING.md), and no two packages import each other."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "augsal_transforms"
# From the ground. A room is a package, or a file that stands beside the packages. A room imports from lower floors.
FLOORS = (
    ("sharing", "cores"),
    (
        "files",
        "faults",
        "workers",
        "losses",
        "tv_tensors",
        "config",
        "randomness",
        "photometry",
        "metrics",
        "sample_keys",
        "augmented_sample",
        "lettering",
        "progress",
    ),
    ("data", "diffusion", "pipelines", "collation"),
    ("scenes",),
    ("readouts",),
    ("editor",),
    ("store", "sample", "evaluation", "annotation_pairs", "panels"),
    ("edit_sources", "preview"),
    ("transform",),
    ("augmented_dataset", "generate", "gallery", "gaze_study", "training", "adapters"),
    ("cli",),
    ("__main__", ""),  # what stands on top: the command line's door and the public names
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
GROUND = {"torch", "torchvision", "kornia", "safetensors", "typing_extensions", "numpy", "augsal_transforms"}
FILES = [
    *(path for path in sorted(PACKAGE.rglob("*.py")) if "assets" not in path.parts),
    *sorted((ROOT / "adapters").glob("*.py")),
]


def module_of(path: Path) -> list[str]:
    """The dotted name of a file below ``augsal_transforms``, in parts."""
    if path.is_relative_to(ROOT / "adapters"):
        parts = ["adapters", *path.relative_to(ROOT / "adapters").with_suffix("").parts]
    else:
        parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
    return parts[:-1] if parts[-1] == "__init__" else parts


def room_of(path: Path) -> str:
    return (module_of(path) or [""])[0]


def imported(tree: ast.AST, package: list[str]) -> set[str]:
    """Every dotted name that is imported, in any form, type checking included.

    ``from a.b import c`` counts as ``a.b`` and as ``a.b.c``, because c may be a module; a relative import is made
    absolute; ``import_module("a.b")`` and ``__import__("a.b")`` count too.
    """
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = ["augsal_transforms", *package][: len(package) + 2 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {f"{base}.{alias.name}" for alias in node.names} | ({base} - {"augsal_transforms"})
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                found.add(node.args[0].value)
    return found


def rooms(names: set[str]) -> set[str]:
    """The rooms of this package among imported names."""
    below = (name.split(".")[1:] for name in names if name.split(".")[0] == "augsal_transforms")
    return {parts[0] for parts in below if parts and parts[0] in FLOOR}


def uses(path: Path) -> set[str]:
    parts = module_of(path)
    return imported(ast.parse(path.read_text()), parts if path.name == "__init__.py" else parts[:-1])


@pytest.mark.parametrize("path", FILES, ids=lambda path: ".".join(module_of(path)) or "the public names")
def test_imports_point_down(path):
    here = room_of(path)
    assert here in FLOOR, f"{here!r} stands on no floor; give it one in FLOORS"
    if here == "":
        return  # the public names come from every floor
    names = uses(path)
    for room in rooms(names) - {here}:
        assert FLOOR[room] < FLOOR[here], f"{'.'.join(module_of(path))} imports {room!r}, which is not below {here!r}"
    ours = [name.split(".") for name in names if name.split(".")[0] == "augsal_transforms"]
    whole = any(len(name) == 1 or name[1] not in FLOOR for name in ours)
    assert not whole or here == "cli", f"{here} imports the public names, which come from every floor"


def test_no_two_packages_import_each_other():
    edges = {(room_of(path), room) for path in FILES if room_of(path) for room in rooms(uses(path)) - {room_of(path)}}
    assert not [edge for edge in edges if edge[::-1] in edges]


@pytest.mark.parametrize(
    "line",
    [
        "import augsal_transforms.cli",
        "import augsal_transforms.cli.data as d",
        "from augsal_transforms import cli",
        "from augsal_transforms.cli import data",
        "from augsal_transforms.cli.data import scenes",
        "from .. import cli",
        "from ..cli import data",
        "def late():\n    from augsal_transforms.cli import data",
        "import importlib\nimportlib.import_module('augsal_transforms.cli')",
    ],
)
def test_every_form_of_import_is_seen(line):
    assert rooms(imported(ast.parse(line), ["editor"])) == {"cli"}


@pytest.mark.parametrize("path", [p for p in FILES if FLOOR.get(room_of(p)) == 0], ids=lambda p: ".".join(module_of(p)))
def test_the_ground_floor_needs_little(path):
    outside = {name.split(".")[0] for name in uses(path)} - set(sys.stdlib_module_names)
    assert outside <= GROUND


def test_diffusion_alone_imports_diffusion_libraries_and_only_when_a_model_is_loaded():
    libraries = {"diffusers", "transformers", "huggingface_hub"}
    users = [path for path in FILES if {name.split(".")[0] for name in uses(path)} & libraries]
    assert {room_of(path) for path in users} == {"diffusion"}
    for path in users:
        tree = ast.parse(path.read_text())
        at_import = {name.split(".")[0] for node in tree.body if not isinstance(node, ast.If) for name in _direct(node)}
        assert not at_import & libraries, f"{path.name} imports {at_import & libraries} when it is imported"


def _direct(node: ast.stmt) -> set[str]:
    return imported(node, []) if isinstance(node, (ast.Import, ast.ImportFrom)) else set()


def test_the_package_imports_neither_benchmarks_nor_examples():
    names = {path.stem for folder in ("benchmarks", "examples") for path in (ROOT / folder).rglob("*.py")}
    names |= {"benchmarks", "examples", "table2", "tests", "helpers"}
    for path in FILES:
        assert not {name.split(".")[0] for name in uses(path)} & (names - {"readouts"} - set(sys.stdlib_module_names))
